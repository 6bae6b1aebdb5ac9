"""What `easel resume` and `easel leftovers` read out of the templates is there."""

from __future__ import annotations

import json

import pytest

from easel.cloud.doctor.account import BOOTSTRAP_VERSION
from easel.cloud.leftovers.resource_types import is_covered
from easel.cloud.leftovers.scan import NAME
from easel.cloud.pause import SCALABLE_TARGET, SCALING_POLICY, TARGET_PROPERTIES
from stacks.config.names import IMPORT_RESOURCE, MODEL_STACK, import_log_group
from tests.stacks.assembly import Assembly


def test_resume_can_make_the_scaling_of_realtime_from_the_template_alone(realtime: Assembly) -> None:
    kinds = (SCALABLE_TARGET, SCALING_POLICY)
    (target,), (policy,) = (realtime.resources(kind, MODEL_STACK).values() for kind in kinds)
    assert {type(target["Properties"][name]) for name in ("MinCapacity", "MaxCapacity")} == {int}
    kept = {name: value for name, value in policy["Properties"].items() if name not in TARGET_PROPERTIES}
    assert set(kept) == {"PolicyName", "PolicyType", "TargetTrackingScalingPolicyConfiguration"}
    assert '"Ref"' not in json.dumps(kept)
    assert '"Fn::' not in json.dumps(kept)


def test_resume_finds_the_tags_that_the_endpoint_had_on_its_configuration(realtime: Assembly) -> None:
    endpoint, config = (realtime.only(f"AWS::SageMaker::{kind}") for kind in ("Endpoint", "EndpointConfig"))
    assert endpoint["Tags"] == config["Tags"] != []


def test_the_doctor_asks_for_the_bootstrap_that_the_templates_need(default: Assembly) -> None:
    artifacts = json.loads((default.folder / "manifest.json").read_text())["artifacts"].values()
    needed = {one["properties"].get("requiresBootstrapStackVersion", 0) for one in artifacts if "properties" in one}
    assert max(needed) == BOOTSTRAP_VERSION


def test_the_doctor_knows_where_an_import_tells_how_far_it_is(hub: Assembly) -> None:
    assert len(hub.resources(IMPORT_RESOURCE, MODEL_STACK)) == 1
    groups = hub.resources("AWS::Logs::LogGroup", MODEL_STACK).values()
    assert import_log_group() in [group["Properties"].get("LogGroupName") for group in groups]


def test_leftovers_knows_every_type_that_is_deployed(each: Assembly) -> None:
    types = {one["Type"] for template in each.templates.values() for one in template["Resources"].values()}
    assert [one for one in sorted(types) if not is_covered(one)] == [], (
        "add it to RESOURCE_TYPES or PARTS of easel/cloud/leftovers/resource_types.py"
    )


def test_leftovers_knows_what_cloudformation_makes_of_our_stacks_names(each: Assembly) -> None:
    for stack in each.templates:
        assert NAME.search(stack)
        assert NAME.search(f"{stack}-Thing1A2B-xyz")
        assert NAME.search(f"/easel/{stack}/import")
        assert NAME.search(f"{stack.lower()}-store1d2a845b-xyz"), (
            f"add {stack} to NAME of easel/cloud/leftovers/scan.py"
        )


@pytest.mark.parametrize(
    "name",
    [
        "easel-notebook-0a1b2c3d",
        "sagemaker-easel-notebook-0a1b2c3d-123456789012",
        "/aws/sagemaker/Endpoints/easel-notebook-0a1b2c3d",
    ],
)
def test_leftovers_knows_what_the_notebook_makes(name: str) -> None:
    assert NAME.search(name)


@pytest.mark.parametrize("name", ["easel", "easel-photos", "weaselmodel-x", "Easels-x", "/aws/lambda/myeasel-x"])
def test_leftovers_leaves_the_things_of_others(name: str) -> None:
    assert not NAME.search(name)
