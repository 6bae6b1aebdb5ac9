"""The watch of an endpoint's first start: it runs beside the endpoint, and outlives it in a rollback."""

from __future__ import annotations

import json

from stacks.config.names import CUSTOM_RESOURCE_MINUTES, ENDPOINT_WAIT_SECONDS, FAILED_STARTS
from tests.stacks.assembly import Assembly

WATCH = "Custom::EaselEndpointStart"


def test_the_watch_depends_on_what_the_endpoint_needs_and_not_on_the_endpoint(each: Assembly) -> None:
    (watch,) = each.resources(WATCH, "EaselModel").values()
    (endpoint,) = each.resources("AWS::SageMaker::Endpoint", "EaselModel")
    (config,) = each.resources("AWS::SageMaker::EndpointConfig", "EaselModel")
    (logs,) = (id for id in each.resources("AWS::Logs::LogGroup", "EaselModel") if id.startswith("EndpointLogs"))
    assert {config, logs} <= set(watch["DependsOn"])
    assert endpoint not in json.dumps(watch)


def test_the_watch_reads_this_endpoint_and_writes_below_one_prefix(each: Assembly) -> None:
    policies = each.resources("AWS::IAM::Policy", "EaselModel")
    (id,) = (id for id in policies if id.startswith("EndpointStart") and "Role" in id)
    statements = policies[id]["Properties"]["PolicyDocument"]["Statement"]
    by_action = {str(statement["Action"]): json.dumps(statement["Resource"]) for statement in statements}
    name = each.only("AWS::SageMaker::Endpoint")["EndpointName"]
    assert by_action["sagemaker:DescribeEndpoint"].endswith((f':endpoint/{name}"', f':endpoint/{name}"]]}}'))
    assert f"/{FAILED_STARTS}*" in by_action["s3:PutObject"]
    assert "s3:ListBucket" not in by_action


def test_the_watch_ends_before_cloudformation_gives_up(each: Assembly) -> None:
    (watch,) = each.resources(WATCH, "EaselModel").values()
    assert int(watch["Properties"]["ServiceTimeout"]) == 60 * CUSTOM_RESOURCE_MINUTES > ENDPOINT_WAIT_SECONDS
