"""The order of a destroy: what changes the endpoint, the wait, the endpoint."""

from __future__ import annotations

import json

from stacks.config.names import ENDPOINT_WAIT_SECONDS
from tests.stacks.assembly import Assembly


def test_the_wait_is_between_the_endpoint_and_everything_that_changes_it(each: Assembly) -> None:
    ((id, wait),) = each.resources("Custom::EaselWaitForEndpoint", "EaselModel").items()
    (target,) = each.resources("AWS::ApplicationAutoScaling::ScalableTarget", "EaselModel").values()
    (endpoint,) = each.resources("AWS::SageMaker::Endpoint", "EaselModel")
    schedules = each.resources("AWS::Events::Rule", "EaselModel").values()  # of the idle guard, in realtime mode
    assert all(id in resource["DependsOn"] for resource in (target, *schedules))
    assert endpoint in json.dumps(wait)
    assert int(wait["Properties"]["ServiceTimeout"]) > ENDPOINT_WAIT_SECONDS
