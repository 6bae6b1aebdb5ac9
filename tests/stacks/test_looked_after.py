"""What `easel resume` and `easel leftovers` read out of the templates is there."""

from __future__ import annotations

import json

from easel.cloud.deployed import STACK
from easel.cloud.pause import POLICY, TARGET, TEMPLATE_ONLY
from tests.stacks.assembly import Assembly


def test_resume_can_make_the_scaling_of_realtime_from_the_template_alone(realtime: Assembly) -> None:
    (target,), (policy,) = (realtime.resources(kind, STACK).values() for kind in (TARGET, POLICY))
    assert {type(target["Properties"][name]) for name in ("MinCapacity", "MaxCapacity")} == {int}
    kept = {name: value for name, value in policy["Properties"].items() if name not in TEMPLATE_ONLY}
    assert set(kept) == {"PolicyName", "PolicyType", "TargetTrackingScalingPolicyConfiguration"}
    assert '"Ref"' not in json.dumps(kept)
    assert '"Fn::' not in json.dumps(kept)


def test_resume_finds_the_tags_that_the_endpoint_had_on_its_configuration(realtime: Assembly) -> None:
    endpoint, config = (realtime.only(f"AWS::SageMaker::{kind}") for kind in ("Endpoint", "EndpointConfig"))
    assert endpoint["Tags"] == config["Tags"] != []
