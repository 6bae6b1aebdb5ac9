"""`easel doctor`: each check against what fails it, word for word; and a whole account that is in order."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.exceptions
import httpx
import pytest
from typer.testing import CliRunner

from easel.cli import app as cli
from easel.cloud.account import open_account
from easel.cloud.doctor import deployment, local_machine, own_resources, preflight
from easel.cloud.doctor import run as doctor_module
from easel.cloud.doctor.check import Check
from easel.cloud.doctor.plan import Plan, read_plan
from easel.cloud.doctor.run import Doctor, report
from easel.cloud.known_failures import HINTS, hint_for
from easel.cloud.stack_state import ANEW, Deployed
from easel.console.errors import CommandError
from loading.classes import PIPELINES
from stacks.config.catalogue import HubSource, S3Source, read_model
from stacks.config.model_folder import BELONGS, released_files
from tests.easel.cloud.fake_aws import ACCOUNT, REGION, FakeAws, refusal
from tests.easel.cloud.test_pause import CONFIG, NAME, NOW, World, resources, stack
from tests.easel.running import EASEL, ROOT

QUOTA = {"QuotaName": "ml.m5.large for endpoint usage", "QuotaCode": "L-1", "Value": 2.0}
GROUP = f"/aws/sagemaker/Endpoints/{NAME}"


def priced(usage: str, usd: str = "0.128") -> str:
    terms = {"OnDemand": {"a": {"priceDimensions": {"b": {"pricePerUnit": {"USD": usd}}}}}}
    return json.dumps({"product": {"attributes": {"usagetype": usage}}, "terms": terms})


def prices(*usages: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A price list that filters as AWS's does."""

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        by = {one["Field"]: one["Value"] for one in asked["Filters"]}
        assert by["regionCode"] == REGION
        return {"PriceList": [priced(usage) for usage in usages if by["usagetype"] in usage]}

    return answer


def calls(free: int, total: int = 1000) -> dict[str, Any]:
    return {"AccountLimit": {"UnreservedConcurrentExecutions": free, "ConcurrentExecutions": total}}


def healthy() -> World:
    """Bootstrapped, with quota, deployed and InService."""
    world = World("InService")
    world.answers |= {
        "sts.GetCallerIdentity": {"Account": ACCOUNT, "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/dev/me"},
        "pricing.GetProducts": prices("EU-AsyncInf:ml.m5.large", "EU-Host:ml.m5.large"),
        "service-quotas.ListServiceQuotas": {"Quotas": [QUOTA]},
        "service-quotas.ListAWSDefaultServiceQuotas": {"Quotas": []},
        "service-quotas.ListRequestedServiceQuotaChangeHistoryByQuota": {"RequestedQuotas": []},
        "lambda.GetAccountSettings": calls(1000),
        "ssm.GetParameter": {"Parameter": {"Value": "33"}},
        "cloudwatch.DescribeAlarms": {"MetricAlarms": []},
        "logs.DescribeLogStreams": {"logStreams": [{"logStreamName": "AllTraffic/i-0"}]},
        "logs.GetLogEvents": logged("loaded"),
    }
    return world


def logged(*lines: str) -> dict[str, Any]:
    return {"events": [{"timestamp": 1795500000000 + i * 1000, "message": line} for i, line in enumerate(lines)]}


@pytest.fixture(scope="module")
def plan() -> Plan:
    return read_plan(["model=emoji"], ROOT)


@pytest.fixture
def found(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Check]]:
    """All checks of an account, by name."""

    def look(world: FakeAws, request: bool = False, plan: Plan = plan) -> dict[str, Check]:
        monkeypatch.setattr(doctor_module, "open_account", lambda _: world.account())
        return {check.name: check for check in Doctor(plan, ROOT, request).checks(REGION)}

    return look


def test_all_in_order(found: Callable[..., dict[str, Check]]) -> None:
    checks = found(healthy())
    assert {name: check.said for name, check in checks.items() if name not in ("node", "cdk", "disk", "folder")} == {
        "model": "emoji: licence MIT (https://github.com/microsoft/fluentui-emoji/blob/main/LICENSE), no gate.",
        "account": f"Account 1234…9012 as assumed-role/dev/me, in {REGION}.",
        "region": f"{REGION} has ml.m5.large for mode async, at 0.128 USD an hour while it runs.",
        "quota": "ml.m5.large for endpoint usage is 2, 1 needed.",
        "update": "update=plain starts the new beside the old, up to 2, and ml.m5.large for endpoint usage is 2.",
        "lambda": "Lambda runs 1000 calls at once.",
        "bootstrap": "The bootstrap stack is version 33.",
        "stacks": "Deployed: EaselModel.",
        "endpoint": f"It is InService with {CONFIG}, as deployed; 0 instances run.",
        "alarms": "No alarm rings.",
        "log": "The last 1 lines of the container hold no known failure.",
    }
    assert {check.mark for name, check in checks.items() if name not in ("node", "cdk")} == {"ok"}


def test_before_the_first_deploy(found: Callable[..., dict[str, Check]]) -> None:
    world = healthy()
    world.answers["cloudformation.DescribeStacks"] = {"Stacks": [{**stack("CREATE_COMPLETE"), "StackName": "Other"}]}
    checks = found(world)
    assert checks["stacks"] == Check("stacks", "ok", f"Nothing is deployed in {REGION} yet.")
    assert not {"endpoint", "alarms", "log"} & checks.keys()


@pytest.mark.parametrize("names", [["EaselNotebook"], ["EaselCloud9"], ["EaselCloud9", "EaselNotebook"]])
def test_what_needs_no_endpoint_misses_none(found: Callable[..., dict[str, Check]], names: list[str]) -> None:
    """Nor is a deploy of all, which starts one, its way out."""
    world = healthy()
    stacks = [{**stack("CREATE_COMPLETE"), "StackName": name} for name in [*names, "Other"]]
    world.answers["cloudformation.DescribeStacks"] = deployed_are(stacks)
    checks = found(world)
    assert checks["stacks"] == Check("stacks", "ok", f"Deployed: {', '.join(names)}.")
    assert not {"endpoint", "alarms", "log"} & checks.keys()
    assert {check.mark for name, check in checks.items() if name not in ("node", "cdk")} == {"ok"}


def test_a_model_that_is_gone_is_missed(found: Callable[..., dict[str, Check]]) -> None:
    world = healthy()
    stacks = [{**stack("CREATE_COMPLETE"), "StackName": name} for name in ("EaselApi", "EaselNotebook")]
    world.answers["cloudformation.DescribeStacks"] = deployed_are(stacks)
    assert found(world)["endpoint"].said == "Easel is not deployed: there is no stack EaselModel."


def deployed_are(stacks: list[dict[str, Any]]) -> Callable[[dict[str, Any]], Any]:
    """All of them, or the one asked for, as CloudFormation answers."""

    def answer(asked: dict[str, Any]) -> Any:
        named = [one for one in stacks if asked.get("StackName", one["StackName"]) == one["StackName"]]
        return {"Stacks": named} if named else refusal("ValidationError", f"{asked['StackName']} does not exist")

    return answer


@pytest.mark.parametrize(
    ("status", "fix"),
    [
        ("ROLLBACK_FAILED", "npx cdk destroy EaselModel, then deploy again"),
        ("UPDATE_ROLLBACK_COMPLETE", "npx cdk deploy --all again, when the reason is gone"),
        ("REVIEW_IN_PROGRESS", "npx cdk deploy --all"),
        (
            "DELETE_FAILED",
            "npx cdk destroy --all again, when the reason is gone. If it stays, aws cloudformation delete-stack "
            "--stack-name EaselModel --deletion-mode FORCE_DELETE_STACK deletes the stack without what it cannot "
            "delete; then easel leftovers",
        ),
        (
            "UPDATE_ROLLBACK_FAILED",
            "npx cdk rollback EaselModel, when the reason is gone, or else with --force; then deploy again",
        ),
    ],
)
def test_the_way_out_is_one_that_cloudformation_takes(status: str, fix: str) -> None:
    """Of a stack that could not be deleted it takes no deploy; one that was never made is not on its way."""
    world = healthy()
    world.answers["cloudformation.DescribeStacks"] = {"Stacks": [stack(status)]}
    world.answers["cloudformation.DescribeStackEvents"] = {"StackEvents": []}
    check = deployment.stacks(world.account())
    assert check is not None
    assert (check.mark, check.fix) == ("failed", fix)


def test_where_it_takes_no_deploy_none_is_the_way_out_of_a_reason() -> None:
    world = healthy()
    world.answers["cloudformation.DescribeStacks"] = {"Stacks": [stack("DELETE_FAILED")]}
    denied = event("Emptying", "DELETE_FAILED", "AccessDenied: not authorized to perform s3:GetBucketTagging")
    world.answers["cloudformation.DescribeStackEvents"] = {"StackEvents": [denied]}
    check = deployment.stacks(world.account())
    assert "cdk deploy" in hint_for(denied["ResourceStatusReason"])
    assert check is not None
    assert "FORCE_DELETE_STACK" in check.fix


def test_the_stacks_of_others_are_not_looked_at() -> None:
    world = healthy()
    theirs = [{**stack("ROLLBACK_COMPLETE"), "StackName": name} for name in ("EaselPainter", "EaselApi-prod")]
    world.answers["cloudformation.DescribeStacks"] = {"Stacks": theirs}
    assert deployment.stacks(world.account()) is None


def configured(config: str, status: str, **more: Any) -> dict[str, Any]:
    told = {"EndpointName": NAME, "EndpointArn": "a" * 20, "CreationTime": NOW, "LastModifiedTime": NOW}
    return {**told, "EndpointConfigName": config, "EndpointStatus": status, **more}


def event(id: str, status: str, reason: str = "", kind: str = "AWS::SageMaker::Endpoint") -> dict[str, Any]:
    told = {"StackId": "s", "EventId": id, "StackName": "EaselModel", "Timestamp": NOW, "LogicalResourceId": id}
    return {**told, "ResourceType": kind, "ResourceStatus": status, "ResourceStatusReason": reason}


NO_INSTANCES = "The account-level service limit 'ml.m5.large for endpoint usage' is 0 Instances (ResourceLimitExceeded)"
EVENTS = [
    event("EaselModel", "ROLLBACK_COMPLETE", kind="AWS::CloudFormation::Stack"),
    event("EaselModel", "ROLLBACK_IN_PROGRESS", "User Initiated", "AWS::CloudFormation::Stack"),
    event("Logs", "CREATE_FAILED", "Resource creation cancelled"),
    event("Endpoint", "CREATE_FAILED", NO_INSTANCES),
    event("EaselModel", "CREATE_IN_PROGRESS", kind="AWS::CloudFormation::Stack"),
    event("Older", "CREATE_FAILED", "of another deploy"),
]
PAGE = "https://eu-west-1.console.aws.amazon.com/servicequotas/home/services/sagemaker/quotas/L-1"
SMALL = {"Quotas": [{**QUOTA, "Value": 0.0}]}
THEIRS = {"AlarmName": "EaselPainter-Errors", "AlarmDescription": "Of somebody else."}
ALARM = {"AlarmName": "EaselApi-Errors", "AlarmDescription": "Jobs fail: read the functions' log."}
ASLEEP = {"AlarmName": "EaselModel-ScalingWaiting", "AlarmDescription": "A job waits. Nothing to do."}
TRACKED = {"AlarmName": f"TargetTracking-endpoint/{NAME}/variant/AllTraffic-AlarmLow-1"}
ROLLED_BACK = "SageMaker took the update back."
MENDED = "Then npx cdk deploy --all, if you mended something; if not,"
"""A deploy that changes nothing does nothing: the CDK skips the stack."""

FAILING: list[tuple[str, dict[str, Any], str, str, str]] = [
    ("pricing.GetProducts", {"": prices("EU-Host:ml.m5.large")}, "region",
     "eu-west-1 has no ml.m5.large for mode async.", "Another region, or another -c mode"),
    ("pricing.GetProducts", {"": prices("EU-AsyncInf:ml.g5.xlarge", "EU-AsyncInf:ml.m5.xlarge")}, "region",
     "eu-west-1 has no ml.m5.large for mode async.", "-c instance_type=ml.m5.xlarge, or another region"),
    ("service-quotas.ListServiceQuotas", SMALL, "quota",
     "ml.m5.large for endpoint usage is 0 in eu-west-1; 1 needed.", f"easel doctor --request, or {PAGE}"),
    ("service-quotas.ListServiceQuotas", {"Quotas": []}, "quota",
     "eu-west-1 has no quota 'ml.m5.large for endpoint usage': no such type there.", "Another region"),
    ("lambda.GetAccountSettings", calls(9), "lambda",
     "Lambda has 9 calls at once left in eu-west-1; 10 are needed.",
     "Ask for more: Service Quotas, lambda, 'Concurrent executions'; or free what other functions reserve"),
    ("ssm.GetParameter", {"": refusal("ParameterNotFound")}, "bootstrap",
     "The CDK was not bootstrapped in eu-west-1.", "AWS_REGION=eu-west-1 npx cdk bootstrap"),
    ("ssm.GetParameter", {"Parameter": {"Value": "5"}}, "bootstrap",
     "The bootstrap stack is version 5; 6 is needed.", "AWS_REGION=eu-west-1 npx cdk bootstrap"),
    ("cloudformation.DescribeStacks", {"Stacks": [stack("ROLLBACK_COMPLETE")]}, "stacks",
     f"EaselModel is ROLLBACK_COMPLETE: Endpoint: {NO_INSTANCES}.", hint_for("ResourceLimitExceeded")),
    ("sagemaker.DescribeEndpoint", {"": refusal("ValidationException", "Could not find endpoint")}, "endpoint",
     f"{NAME} does not exist: it is paused, or somebody deleted it.", "easel resume"),
    ("sagemaker.DescribeEndpoint", configured("Old", "InService"), "endpoint",
     f"It runs Old, though {CONFIG} was deployed: {ROLLED_BACK}",
     f"Read its log below. {MENDED} easel pause, then easel resume"),
    ("sagemaker.DescribeEndpoint", configured(CONFIG, "Failed", FailureReason="did not pass the ping health check"),
     "endpoint", f"{NAME} is Failed: did not pass the ping health check.",
     f"{hint_for('ping health check')} Then easel resume"),
    ("sagemaker.DescribeEndpoint", configured(CONFIG, "Failed"), "endpoint", f"{NAME} is Failed.",
     "Read its log below. Then easel resume"),
    ("cloudwatch.DescribeAlarms", {"MetricAlarms": [ASLEEP, THEIRS, ALARM, TRACKED]}, "alarms",
     "1 in ALARM: EaselApi-Errors.", "Jobs fail: read the functions' log."),
    ("logs.GetLogEvents", logged("start", "torch.cuda.OutOfMemoryError: CUDA out of memory.", "bye"), "log",
     "At 2026-11-24 06:00 UTC the container said: torch.cuda.OutOfMemoryError: CUDA out of memory.",
     hint_for("CUDA out of memory")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "answer", "name", "said", "fix"), FAILING, ids=[f"{f[2]}-{i}" for i, f in enumerate(FAILING)]
)
def test_what_fails_is_said_with_the_way_out(
    found: Callable[..., dict[str, Check]], call: str, answer: dict[str, Any], name: str, said: str, fix: str
) -> None:
    world = healthy()
    world.answers[call] = answer.get("", answer)
    world.answers["cloudformation.DescribeStackEvents"] = {"StackEvents": EVENTS}
    checks = found(world)
    assert (checks[name].mark, checks[name].said, checks[name].fix) == ("failed", said, fix)
    others = {other for other, check in checks.items() if check.mark != "ok"} - {"node", "cdk"}
    assert others <= {name}, "a failure is told once"


@pytest.mark.parametrize(
    ("answer", "before"),
    [
        (refusal("ValidationException", "Could not find endpoint"), ""),
        (configured(CONFIG, "Failed"), "Read its log below. Then "),
        (configured("Old", "InService"), f"Read its log below. {MENDED} "),
    ],
    ids=["gone", "failed", "taken-back"],
)
def test_an_async_endpoint_comes_back_by_cloudformation(answer: Any, before: str) -> None:
    """`easel resume` refuses it."""
    world = healthy()
    world.answers["sagemaker.DescribeEndpoint"] = answer
    deployed = Deployed(stack_status="UPDATE_COMPLETE", endpoint="easel-async0a1b2c-0123", config=CONFIG)
    check = deployment.endpoint(world.account(), deployed)
    assert (check.mark, check.fix) == ("failed", f"{before}{ANEW}")


@pytest.mark.parametrize(
    ("call", "answer", "name", "said"),
    [
        ("service-quotas.ListServiceQuotas", {"Quotas": [{**QUOTA, "Value": 1.0}]}, "quota",
         "ml.m5.large for endpoint usage is 1, 1 needed."),
        ("lambda.GetAccountSettings", calls(10), "lambda",
         "Lambda runs 10 calls at once: enough for a try, ask for 100 before many draw at once."),
        ("ssm.GetParameter", {"Parameter": {"Value": "6"}}, "bootstrap", "The bootstrap stack is version 6."),
    ],
)  # fmt: skip
def test_the_bound_itself_is_enough(
    found: Callable[..., dict[str, Check]], call: str, answer: dict[str, Any], name: str, said: str
) -> None:
    world = healthy()
    world.answers[call] = answer
    assert found(world)[name] == Check(name, "ok", said)


ONE = "starts the new beside the old, up to 2, and ml.m5.large for endpoint usage is 1"


@pytest.mark.parametrize(
    ("settings", "mark", "said", "fix"),
    [
        (["mode=realtime"], "ok", f"update=plain {ONE}: the old must go first.", ANEW),
        ([], "ok", f"update=plain {ONE}: the old must go first.", f"Wait until it sleeps, or {ANEW}"),
        (["update=blue_green"], "failed", f"update=blue_green {ONE}.",
         f"-c update=plain, or easel doctor --request, or {PAGE}"),
    ],
)  # fmt: skip
def test_a_quota_of_one_is_told_before_an_update(
    found: Callable[..., dict[str, Check]], settings: list[str], mark: Any, said: str, fix: str
) -> None:
    world = healthy()
    world.answers["service-quotas.ListServiceQuotas"] = {"Quotas": [{**QUOTA, "Value": 1.0}]}
    checks = found(world, plan=read_plan(["model=emoji", *settings], ROOT))
    assert checks["update"] == Check("update", mark, said, fix)
    assert checks["quota"].mark == "ok"


def test_request_asks_for_what_the_update_needs(found: Callable[..., dict[str, Check]]) -> None:
    world = healthy()
    world.answers["service-quotas.ListServiceQuotas"] = {"Quotas": [{**QUOTA, "Value": 1.0}]}
    world.answers["service-quotas.RequestServiceQuotaIncrease"] = {"RequestedQuota": {"Status": "PENDING"}}
    check = found(world, request=True, plan=read_plan(["model=emoji", "update=blue_green"], ROOT))["update"]
    assert check.said == f"update=blue_green {ONE}. 2 was asked for now (PENDING)."
    assert check.fix == "-c update=plain, or wait: hours to days"
    (asked,) = world.calls("service-quotas.RequestServiceQuotaIncrease")
    assert asked == {"ServiceCode": "sagemaker", "QuotaCode": "L-1", "DesiredValue": 2.0}


@pytest.mark.parametrize(("setting", "value"), [("endpoint=off", 1.0), ("mode=async", 0.0)])
def test_no_word_of_an_update_where_none_can_be(
    found: Callable[..., dict[str, Check]], setting: str, value: float
) -> None:
    world = healthy()
    world.answers["service-quotas.ListServiceQuotas"] = {"Quotas": [{**QUOTA, "Value": value}]}
    assert "update" not in found(world, plan=read_plan(["model=emoji", setting], ROOT))


@pytest.mark.parametrize(
    ("status", "why", "fix"),
    [
        ("UPDATE_COMPLETE", "it was deployed with endpoint=off", "npx cdk deploy --all"),
        ("UPDATE_ROLLBACK_COMPLETE", "it is UPDATE_ROLLBACK_COMPLETE", "npx cdk deploy --all"),
        ("REVIEW_IN_PROGRESS", "it is REVIEW_IN_PROGRESS", "npx cdk deploy --all"),
        ("DELETE_FAILED", "it is DELETE_FAILED", "npx cdk destroy --all, then npx cdk deploy --all"),
    ],
)
def test_a_stack_without_its_endpoint(found: Callable[..., dict[str, Check]], status: str, why: str, fix: str) -> None:
    world = healthy()
    world.answers["cloudformation.DescribeStacks"] = {"Stacks": [stack(status)]}
    world.answers["cloudformation.DescribeStackEvents"] = {"StackEvents": []}
    listed = [one for one in resources() if "Config" in one["ResourceType"]]
    world.answers["cloudformation.ListStackResources"] = {"StackResourceSummaries": listed}
    assert found(world)["endpoint"] == Check("endpoint", "failed", f"The stack has no endpoint: {why}.", fix)


@pytest.mark.parametrize(
    ("value", "mark", "said", "fix"),
    [
        (1.0, "ok", "ml.g4dn.xlarge for notebook instance usage is 1, 1 needed.", ""),
        (0.0, "failed", "ml.g4dn.xlarge for notebook instance usage is 0 in eu-west-1; 1 needed.",
         f"easel doctor --request, or {PAGE.replace('L-1', 'L-9')}"),
    ],
)  # fmt: skip
def test_the_notebook_has_a_quota_of_its_own(
    found: Callable[..., dict[str, Check]], value: float, mark: Any, said: str, fix: str
) -> None:
    world = healthy()
    own = {"QuotaName": "ml.g4dn.xlarge for notebook instance usage", "QuotaCode": "L-9", "Value": value}
    world.answers["service-quotas.ListServiceQuotas"] = {"Quotas": [QUOTA, own]}
    checks = found(world, plan=read_plan(["model=emoji", "notebook=on"], ROOT))
    assert checks["notebook"] == Check("notebook", mark, said, fix)
    assert "notebook" not in found(healthy())


G5 = {"QuotaName": "ml.g5.xlarge for endpoint usage", "QuotaCode": "L-5", "Value": 1.0}
G6 = {"QuotaName": "ml.g6.xlarge for endpoint usage", "QuotaCode": "L-6", "Value": 0.0}


@pytest.mark.parametrize(
    ("sold", "quotas", "mark", "said", "fix"),
    [
        (["ml.g5.xlarge", "ml.g6.xlarge"], [G5, {**G6, "Value": 1.0}], "ok",
         "ml.g5.xlarge, ml.g6.xlarge: there, and with a quota.", ""),
        (["ml.g5.xlarge", "ml.g6.xlarge"], [G5, G6], "failed",
         "ml.g6.xlarge for endpoint usage is 0 in eu-west-1; 1 needed.",
         f"easel doctor --request, or {PAGE.replace('L-1', 'L-6')}"),
        (["ml.g5.xlarge"], [G5, G6], "failed",
         "eu-west-1 has no ml.g6.xlarge for mode async. ml.g6.xlarge for endpoint usage is 0 in eu-west-1; 1 needed.",
         "Take it out of the list"),
    ],
)  # fmt: skip
def test_each_fallback_is_looked_at(
    found: Callable[..., dict[str, Check]], sold: list[str], quotas: list[Any], mark: Any, said: str, fix: str
) -> None:
    world = healthy()
    chosen = "instance_type=ml.g4dn.xlarge"
    plan = read_plan(["model=emoji", chosen, "instance_fallbacks=ml.g5.xlarge,ml.g6.xlarge"], ROOT)
    first = {**QUOTA, "QuotaName": "ml.g4dn.xlarge for endpoint usage"}
    world.answers["service-quotas.ListServiceQuotas"] = {"Quotas": [first, *quotas]}
    world.answers["pricing.GetProducts"] = prices(*(f"EU-AsyncInf:{name}" for name in ["ml.g4dn.xlarge", *sold]))
    checks = found(world, plan=plan)
    assert checks["fallbacks"] == Check("fallbacks", mark, said, fix)
    assert checks["quota"].mark == "ok"


FALLING = ["model=emoji", "instance_type=ml.g4dn.xlarge", "instance_fallbacks=ml.g5.xlarge,ml.g6.xlarge"]
BESIDE = "starts the new beside the old, up to 2, and ml.g4dn.xlarge for endpoint usage is 2"


@pytest.mark.parametrize(
    ("update", "g5", "g6", "mark", "said", "fix"),
    [
        ("blue_green", 2.0, 2.0, "ok",
         ", ml.g5.xlarge for endpoint usage is 2, ml.g6.xlarge for endpoint usage is 2.", ""),
        ("plain", 1.0, 2.0, "ok",
         ", ml.g5.xlarge for endpoint usage is 1, ml.g6.xlarge for endpoint usage is 2: the old must go first.",
         f"Wait until it sleeps, or {ANEW}"),
        ("blue_green", 2.0, 1.0, "failed",
         ", ml.g5.xlarge for endpoint usage is 2, ml.g6.xlarge for endpoint usage is 1.",
         f"-c update=plain, or easel doctor --request, or {PAGE.replace('L-1', 'L-6')}"),
        ("blue_green", 2.0, 0.0, "ok", ", ml.g5.xlarge for endpoint usage is 2.", ""),
    ],
)  # fmt: skip
def test_an_update_needs_room_on_whichever_type_runs(
    found: Callable[..., dict[str, Check]], update: str, g5: float, g6: float, mark: Any, said: str, fix: str
) -> None:
    """A fallback without a quota is told of once, by `fallbacks`."""
    world = healthy()
    first = {**QUOTA, "QuotaName": "ml.g4dn.xlarge for endpoint usage"}
    world.answers["service-quotas.ListServiceQuotas"] = {"Quotas": [first, {**G5, "Value": g5}, {**G6, "Value": g6}]}
    names = ("ml.g4dn.xlarge", "ml.g5.xlarge", "ml.g6.xlarge")
    world.answers["pricing.GetProducts"] = prices(*(f"EU-AsyncInf:{name}" for name in names))
    checks = found(world, plan=read_plan([*FALLING, f"update={update}"], ROOT))
    assert checks["update"] == Check("update", mark, f"update={update} {BESIDE}{said}", fix)
    assert (checks["fallbacks"].mark == "ok") is (g6 > 0)


def test_a_quota_that_nobody_raised_has_the_default(found: Callable[..., dict[str, Check]]) -> None:
    world = healthy()
    world.answers["service-quotas.ListServiceQuotas"] = {"Quotas": []}
    world.answers["service-quotas.ListAWSDefaultServiceQuotas"] = {"Quotas": [QUOTA]}
    assert found(world)["quota"].mark == "ok"


@pytest.mark.parametrize(("total", "mark"), [(119, "failed"), (120, "ok")])
def test_what_the_api_reserves_must_leave_a_hundred(total: int, mark: str) -> None:
    aws = FakeAws(**{"lambda.GetAccountSettings": calls(100, total)})
    check = preflight.concurrency(aws.account(), read_plan(["api_concurrency=20"], ROOT))
    assert check.mark == mark
    if mark == "failed":
        assert check.said == "Lambda runs 119 calls at once and keeps 100 for all: api_concurrency=20 is refused."
        assert check.fix.startswith("-c api_concurrency=0, or: ask for more")


BUILDS = {"QuotaName": preflight.BUILDS, "QuotaCode": "L-2", "Value": 1.0}
STORE = "aws secretsmanager create-secret --name hub-token --secret-string file://token.txt"
BUILDS_PAGE = "https://eu-west-1.console.aws.amazon.com/servicequotas/home/services/codebuild/quotas/L-2"


@pytest.mark.parametrize(
    ("value", "mark", "said", "fix"),
    [
        (1.0, "ok", "CodeBuild may run 1 builds at once; one brings the model in.", ""),
        (0.0, "failed", f"CodeBuild, which brings the model in, may not run in eu-west-1: '{preflight.BUILDS}' is 0.",
         f"Ask for 1: {BUILDS_PAGE}"),
    ],
)  # fmt: skip
def test_the_build_that_imports(value: float, mark: str, said: str, fix: str) -> None:
    aws = FakeAws(**{"service-quotas.ListServiceQuotas": {"Quotas": [{**BUILDS, "Value": value}]}})
    sdxl = read_plan(["model=sdxl"], ROOT)
    assert preflight.importing(aws.account(), sdxl) == Check("import", mark, said, fix)  # type: ignore[arg-type]
    assert preflight.importing(aws.account(), read_plan(["model=emoji"], ROOT)) is None


@pytest.mark.parametrize(
    ("secret", "answer", "mark", "said", "fix"),
    [
        ("", {}, "failed", "The hub wants a token for this model, and hub_token_secret names none.",
         f"{STORE}, then -c hub_token_secret=hub-token"),
        ("hub-token", {"Name": "hub-token"}, "ok", "The secret hub-token is there.", ""),
        ("hub-token", {"Name": "hub-token", "DeletedDate": NOW}, "failed", "The secret hub-token was deleted.",
         "aws secretsmanager restore-secret --secret-id hub-token"),
        ("hub-token", refusal("ResourceNotFoundException", "Secrets Manager can't find the specified secret."),
         "failed", "There is no secret hub-token in eu-west-1.", STORE),
    ],
)  # fmt: skip
def test_the_token_of_a_gated_model(secret: str, answer: Any, mark: Any, said: str, fix: str) -> None:
    plan = read_plan(["model=sdxl", f"hub_token_secret={secret}"], ROOT)
    assert plan.model
    aws = FakeAws(**{"secretsmanager.DescribeSecret": answer})
    check = preflight.token(aws.account(), replace(plan, model=replace(plan.model, gated=True)))
    assert check == Check("token", mark, said, fix)
    assert preflight.token(aws.account(), read_plan(["model=sdxl"], ROOT)) is None


KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/mrk-0123456789abcdef0123456789abcdef"
LET_IN = "Add the statements of docs/options.md: aws kms put-key-policy"
LETS_IN = [f"logs.{REGION}.amazonaws.com", "cloudwatch.amazonaws.com", "budgets.amazonaws.com", "sns.amazonaws.com"]
USABLE = "The key is enabled, and its policy lets our roles and AWS's services in."
ROOT_USER = f"arn:aws:iam::{ACCOUNT}:root"


def lets(principal: Any, *actions: str, effect: str = "Allow") -> dict[str, Any]:
    return {"Effect": effect, "Principal": principal, "Action": list(actions) or "kms:*", "Resource": "*"}


def ruled(*statements: dict[str, Any], **told: str) -> dict[str, Any]:
    """A key in the state and of the kind `told`, with these statements in its policy."""
    metadata = {"KeyId": "mrk-0", "KeyState": "Enabled", "KeySpec": "SYMMETRIC_DEFAULT", **told}
    policy = json.dumps({"Statement": statements}, indent=2)
    return {"kms.DescribeKey": {"KeyMetadata": metadata}, "kms.GetKeyPolicy": {"Policy": policy}}


def key_of(services: list[str], root: str = ROOT_USER, **told: str) -> dict[str, Any]:
    """One that lets `services` and the account's roles in."""
    return ruled(lets({"AWS": root}), lets({"Service": services}, "kms:Decrypt", "kms:GenerateDataKey*"), **told)


def documented_policy() -> list[dict[str, Any]]:
    page = (ROOT / "docs/options.md").read_text()
    policy = page[page.index("```json") + 7 :].partition("```")[0].replace("us-east-1", REGION)
    return [*json.loads(policy.replace("123456789012", ACCOUNT))["Statement"]]


@pytest.mark.parametrize(
    ("answers", "mark", "said", "fix"),
    [
        (key_of(LETS_IN), "ok", USABLE, ""),
        (key_of(LETS_IN[1:]), "failed", f"The key's policy does not let in {LETS_IN[0]}.", LET_IN),
        (key_of([]), "failed", f"The key's policy does not let in {', '.join(LETS_IN)}.", LET_IN),
        (ruled(*documented_policy()), "ok", USABLE, ""),
        (ruled(*documented_policy()[1:]), "failed", f"The key's policy does not let in {ROOT_USER}.", LET_IN),
        (ruled(lets({"AWS": ROOT_USER}, "kms:Put*", "kms:DescribeKey"), *documented_policy()[1:]), "failed",
         f"The key's policy does not let in {ROOT_USER}.", LET_IN),
        (ruled(*documented_policy()[:2], lets({"Service": LETS_IN[1:]}, effect="Deny")), "failed",
         f"The key's policy does not let in {', '.join(LETS_IN[1:])}.", LET_IN),
        (ruled(lets({"AWS": [ACCOUNT]}), *documented_policy()[1:]), "ok", USABLE, ""),
        (ruled(lets("*"), *documented_policy()[1:]), "ok", USABLE, ""),
        (key_of(LETS_IN, KeyState="PendingDeletion"), "failed",
         "The key is PendingDeletion and SYMMETRIC_DEFAULT; it must be Enabled and SYMMETRIC_DEFAULT.",
         "aws kms enable-key, or another key"),
        (key_of(LETS_IN, KeySpec="RSA_2048"), "failed",
         "The key is Enabled and RSA_2048; it must be Enabled and SYMMETRIC_DEFAULT.",
         "aws kms enable-key, or another key"),
        ({"kms.DescribeKey": refusal("NotFoundException", "no such key")}, "failed", f"There is no key {KEY}.",
         "Mend kms_key_arn"),
    ],
)  # fmt: skip
def test_a_key_of_ones_own(
    found: Callable[..., dict[str, Check]], answers: dict[str, Any], mark: Any, said: str, fix: str
) -> None:
    world = healthy()
    world.answers |= answers
    check = found(world, plan=read_plan(["model=emoji", f"kms_key_arn={KEY}"], ROOT))["key"]
    assert check == Check("key", mark, said, fix)


def test_a_key_where_there_are_no_budgets() -> None:
    arn = KEY.replace("arn:aws:", "arn:aws-cn:").replace(REGION, "cn-north-1")
    services = ["logs.cn-north-1.amazonaws.com", "cloudwatch.amazonaws.com", "sns.amazonaws.com"]
    aws = FakeAws(**key_of(services, ROOT_USER.replace("arn:aws:", "arn:aws-cn:")))
    check = own_resources.key(aws.account("cn-north-1"), read_plan(["model=emoji", f"kms_key_arn={arn}"], ROOT))
    assert check
    assert check.mark == "ok"


CERTIFICATE = f"arn:aws:acm:us-east-1:{ACCOUNT}:certificate/01234567-89ab-cdef-0123-456789abcdef"


@pytest.mark.parametrize(
    ("told", "mark", "said", "fix"),
    [
        ({"DomainName": "draw.example.com", "Status": "ISSUED"}, "ok",
         "The certificate for draw.example.com is issued.", ""),
        ({"DomainName": "x.org", "SubjectAlternativeNames": ["*.example.com"], "Status": "ISSUED"}, "ok",
         "The certificate for draw.example.com is issued.", ""),
        ({"DomainName": "draw.example.com", "Status": "PENDING_VALIDATION"}, "failed",
         "The certificate is PENDING_VALIDATION.", "Make the DNS record that ACM names: describe-certificate"),
        ({"DomainName": "example.com", "SubjectAlternativeNames": ["*.draw.example.com"], "Status": "ISSUED"}, "failed",
         "The certificate is for *.draw.example.com, example.com, not for draw.example.com.",
         "Request one for the domain"),
        (None, "failed", f"There is no certificate {CERTIFICATE}.", "Mend certificate_arn"),
    ],
)  # fmt: skip
def test_a_certificate_of_ones_own(
    found: Callable[..., dict[str, Check]], told: dict[str, Any] | None, mark: Any, said: str, fix: str
) -> None:
    world = healthy()
    missing = refusal("ResourceNotFoundException", "Could not find certificate")
    world.answers["acm.DescribeCertificate"] = {"Certificate": told} if told else missing
    settings = ["model=emoji", "domain_name=draw.example.com", f"certificate_arn={CERTIFICATE}"]
    check = found(world, plan=read_plan(settings, ROOT))["certificate"]
    assert check == Check("certificate", mark, said, fix)


ACL = "webacl/mine/01234567-89ab-cdef-0123-456789abcdef"
REGIONAL = f"arn:aws:wafv2:{REGION}:{ACCOUNT}:regional/{ACL}"
GLOBAL = f"arn:aws:wafv2:us-east-1:{ACCOUNT}:global/{ACL}"
NO_ACL = refusal("WAFNonexistentItemException", "AWS WAF couldn't perform the operation")


@pytest.mark.parametrize(
    ("waf", "answer", "mark", "said", "fix"),
    [
        (REGIONAL, {}, "ok", "The web ACL mine is there, for the API.", ""),
        (GLOBAL, {}, "ok", "The web ACL mine is there, for the site.", ""),
        (REGIONAL, NO_ACL, "failed", f"There is no web ACL {REGIONAL}.", "Mend waf, or -c waf=on"),
    ],
)  # fmt: skip
def test_a_web_acl_of_ones_own(
    found: Callable[..., dict[str, Check]], waf: str, answer: Any, mark: Any, said: str, fix: str
) -> None:
    world = healthy()
    world.answers["wafv2.GetWebACL"] = answer
    check = found(world, plan=read_plan(["model=emoji", f"waf={waf}"], ROOT))["firewall"]
    assert check == Check("firewall", mark, said, fix)
    scope, id = "CLOUDFRONT" if waf == GLOBAL else "REGIONAL", ACL.rpartition("/")[2]
    assert world.calls("wafv2.GetWebACL") == [{"Name": "mine", "Id": id, "Scope": scope}]
    assert "firewall" not in found(healthy(), plan=read_plan(["model=emoji", "waf=on"], ROOT))


def stored(key: str) -> dict[str, Any]:
    """A deployed bucket, encrypted with a KMS key or, where that is empty, with S3's own."""
    by = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key} if key else {"SSEAlgorithm": "AES256"}
    rules = [{"ApplyServerSideEncryptionByDefault": by, "BucketKeyEnabled": bool(key)}]
    ids = {"LogicalResourceId": "Store1D2A845B", "PhysicalResourceId": "easelstorage-store1d2a845b-x"}
    bucket = {
        **ids,
        "ResourceType": "AWS::S3::Bucket",
        "ResourceStatus": "CREATE_COMPLETE",
        "LastUpdatedTimestamp": NOW,
    }
    return {
        "cloudformation.ListStackResources": {"StackResourceSummaries": [*resources(), bucket]},
        "s3.GetBucketEncryption": {"ServerSideEncryptionConfiguration": {"Rules": rules}},
    }


OTHER = KEY.replace("mrk-0", "mrk-1")


@pytest.mark.parametrize(
    ("used", "set_now", "named"),
    [(KEY, "", "none"), (KEY, OTHER, "another one"), (KEY, KEY, ""), ("", KEY, ""), ("", "", "")],
)
def test_a_key_that_would_be_taken_away_is_told(
    found: Callable[..., dict[str, Check]], used: str, set_now: str, named: str
) -> None:
    world = healthy()
    world.answers |= stored(used) | key_of(LETS_IN)
    check = found(world, plan=read_plan(["model=emoji", f"kms_key_arn={set_now}"], ROOT)).get("encryption")
    said = f"The bucket is encrypted with {KEY}; the settings name {named}: a deploy makes what is there unreadable."
    fix = f"-c kms_key_arn={KEY}, or destroy first: docs/options.md, KMS key"
    assert check == (Check("encryption", "failed", said, fix) if named else None)
    assert world.calls("s3.GetBucketEncryption") == [{"Bucket": "easelstorage-store1d2a845b-x"}]


SUBNETS = ("subnet-0a1b2c3d", "subnet-1a2b3c4d")
NETWORK = [f"vpc_subnet_ids={','.join(SUBNETS)}", "vpc_security_group_ids=sg-0a1b2c3d", "vpc_id=vpc-0a1b2c3d"]
THERE = "2 subnets in 1 security groups, with a way to S3."
GATEWAY = "Add a gateway endpoint of S3, which is free: see docs/options.md"
LOST = "There is no way from {} to S3, where the model is."


def routed(*tables: dict[str, Any], endpoints: tuple[dict[str, Any], ...] = (), **changes: Any) -> dict[str, Any]:
    """A VPC of two subnets with these route tables."""
    zones = changes.get("zones", ("a", "b"))
    subnets = [
        {"SubnetId": id, "VpcId": "vpc-0a1b2c3d", "AvailabilityZone": f"{REGION}{zone}"}
        for id, zone in zip(SUBNETS, zones, strict=True)
    ]
    group = {"GroupId": "sg-0a1b2c3d", "VpcId": changes.get("vpc", "vpc-0a1b2c3d")}
    return {
        "ec2.DescribeSubnets": {"Subnets": subnets},
        "ec2.DescribeSecurityGroups": {"SecurityGroups": [group]},
        "ec2.DescribeRouteTables": {"RouteTables": list(tables)},
        "ec2.DescribeVpcEndpoints": {"VpcEndpoints": list(endpoints)},
    }


def table(id: str, *subnets: str, **default: str) -> dict[str, Any]:
    """The main one where no subnets are named. `default` is where 0.0.0.0/0 goes."""
    links: list[dict[str, Any]] = [{"SubnetId": subnet} for subnet in subnets] or [{"Main": True}]
    routes = [{"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local"}]
    if default:
        routes.append({"DestinationCidrBlock": "0.0.0.0/0", **default})
    return {"RouteTableId": id, "Associations": links, "Routes": routes}


def endpoint(service: str, **more: Any) -> dict[str, Any]:
    return {"ServiceName": f"com.amazonaws.{REGION}.{service}", **more}


@pytest.mark.parametrize(
    ("answers", "mark", "said", "fix"),
    [
        (routed(table("rtb-1"), endpoints=(endpoint("s3", RouteTableIds=["rtb-1"]),)), "ok", THERE, ""),
        (routed(table("rtb-1"), endpoints=(endpoint("s3", PrivateDnsEnabled=True),)), "ok", THERE, ""),
        (routed(table("rtb-1", NatGatewayId="nat-1")), "ok", THERE, ""),
        (routed(table("rtb-1", TransitGatewayId="tgw-1")), "ok", THERE, ""),
        (routed(table("rtb-1")), "failed", LOST.format(", ".join(SUBNETS)), GATEWAY),
        (routed(table("rtb-1", GatewayId="igw-1")), "failed", LOST.format(", ".join(SUBNETS)), GATEWAY),
        (routed(table("rtb-1"), endpoints=(endpoint("dynamodb", RouteTableIds=["rtb-1"]),)), "failed",
         LOST.format(", ".join(SUBNETS)), GATEWAY),
        (routed(table("rtb-1"), table("rtb-2", SUBNETS[1]), endpoints=(endpoint("s3", RouteTableIds=["rtb-1"]),)),
         "failed", LOST.format(SUBNETS[1]), GATEWAY),
        (routed(table("rtb-1", NatGatewayId="nat-1"), zones=("a", "a")), "failed",
         f"All subnets are in {REGION}a; SageMaker wants two zones.",
         "Add a subnet in another zone to vpc_subnet_ids"),
        (routed(table("rtb-1"), vpc="vpc-1"), "failed",
         "Subnets, security groups and vpc_id are of several VPCs: vpc-0a1b2c3d, vpc-1.", "Name those of one VPC"),
        ({"ec2.DescribeSubnets": refusal("InvalidSubnetID.NotFound", "The subnet ID 'subnet-0a1b2c3d' does not exist")},
         "failed", "The subnet ID 'subnet-0a1b2c3d' does not exist.", "Mend vpc_subnet_ids or vpc_security_group_ids"),
    ],
)  # fmt: skip
def test_subnets_of_ones_own(
    found: Callable[..., dict[str, Check]], answers: dict[str, Any], mark: Any, said: str, fix: str
) -> None:
    world = healthy()
    world.answers |= answers
    check = found(world, plan=read_plan(["model=emoji", *NETWORK], ROOT))["network"]
    assert check == Check("network", mark, said, fix)


@pytest.mark.parametrize(
    ("answer", "mark", "said", "fix"),
    [
        ({}, "ok", "s3://mine/a/ holds a diffusers pipeline.", ""),
        (refusal("404", "Not Found"), "failed", "There is no s3://mine/a/model_index.json.",
         "Mend source.uri of the entry"),
    ],
)  # fmt: skip
def test_a_model_in_s3(answer: Any, mark: Any, said: str, fix: str) -> None:
    plan = read_plan(["model=sdxl"], ROOT)
    assert plan.model
    aws = FakeAws(**{"s3.HeadObject": answer})
    check = preflight.files(
        aws.account(), replace(plan, model=replace(plan.model, source=S3Source(uri="s3://mine/a/")))
    )
    assert check == Check("files", mark, said, fix)
    assert aws.calls("s3.HeadObject") == [{"Bucket": "mine", "Key": "a/model_index.json"}]
    assert preflight.files(aws.account(), plan) is None


def test_request_asks_once(found: Callable[..., dict[str, Check]]) -> None:
    world = healthy()
    world.answers["service-quotas.ListServiceQuotas"] = SMALL
    world.answers["service-quotas.RequestServiceQuotaIncrease"] = {"RequestedQuota": {"Status": "PENDING"}}
    first = found(world, request=True)["quota"]
    assert (first.mark, first.said, first.fix) == (
        "failed",
        "ml.m5.large for endpoint usage is 0 in eu-west-1; 1 needed. 1 was asked for now (PENDING).",
        "Wait: hours to days",
    )
    asked = world.calls("service-quotas.RequestServiceQuotaIncrease")
    assert asked == [{"ServiceCode": "sagemaker", "QuotaCode": "L-1", "DesiredValue": 1.0}]
    history = "service-quotas.ListRequestedServiceQuotaChangeHistoryByQuota"
    world.answers[history] = {"RequestedQuotas": [{"Status": "DENIED"}, {"Status": "CASE_OPENED"}]}
    assert "More was asked for (CASE_OPENED)" in found(world, request=True)["quota"].said
    assert len(world.calls("service-quotas.RequestServiceQuotaIncrease")) == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (botocore.exceptions.NoCredentialsError(), "There are no AWS credentials: Unable to locate credentials."),
        (botocore.exceptions.ProfileNotFound(profile="x"),
         "There are no AWS credentials: The config profile (x) could not be found."),
        (botocore.exceptions.EndpointConnectionError(endpoint_url="https://sts"),
         'AWS cannot be reached: Could not connect to the endpoint URL: "https://sts".'),
        (refusal("ExpiredToken", "The security token is expired"),
         "The AWS credentials have expired: The security token is expired."),
        (refusal("SignatureDoesNotMatch", "Expired"), "AWS does not accept the signature: Expired."),
        (refusal("InvalidClientTokenId", "invalid"), "AWS does not know these credentials: invalid."),
    ],
)  # fmt: skip
def test_without_an_account_nothing_is_green(
    found: Callable[..., dict[str, Check]], error: Exception, said: str
) -> None:
    world = healthy()
    world.answers["sts.GetCallerIdentity"] = error
    checks = found(world)
    assert (checks["account"].mark, checks["account"].said) == ("failed", said)
    assert checks["account"].fix
    for name in ("region", "quota", "lambda", "bootstrap", "stacks"):
        assert checks[name] == Check(name, "unknown", "Could not be checked without the account.")
    assert [name for name, _ in world.asked] == ["sts.GetCallerIdentity"]


def test_what_may_not_be_asked_is_not_green(found: Callable[..., dict[str, Check]]) -> None:
    world = healthy()
    world.answers["lambda.GetAccountSettings"] = refusal("AccessDeniedException", "no")
    check = found(world)["lambda"]
    assert check.mark == "unknown"
    assert check.said == "Could not be checked: You may not call GetAccountSettings (IAM: no)."
    assert check.fix == "Ask for the right to GetAccountSettings"


@pytest.mark.parametrize("status", ["Creating", "Updating", "RollingBack"])
def test_what_moves_is_not_green(found: Callable[..., dict[str, Check]], status: str) -> None:
    world = healthy()
    world.answers["sagemaker.DescribeEndpoint"] = configured(CONFIG, status)
    said = f"{NAME} is {status}."
    assert found(world)["endpoint"] == Check("endpoint", "unknown", said, "Wait some minutes, then look again")


@pytest.mark.parametrize(
    ("model", "endpoint", "said", "fix"),
    [
        ("emoji", "easel-async0a1b2c-1", "", ""),
        ("sdxl", "easel-async0a1b2c-1", "model emoji in the place of sdxl", "-c model=sdxl"),
        (
            "sd-1.5",
            "easel-realtime0a1b2c-1",
            "model emoji in the place of sd-1.5, mode async in the place of realtime",
            "-c model=sd-1.5 -c mode=realtime",
        ),
    ],
)
def test_a_setting_that_was_left_off_is_seen(
    found: Callable[..., dict[str, Check]], model: str, endpoint: str, said: str, fix: str
) -> None:
    world = healthy()
    outputs = [
        {"OutputKey": key, "OutputValue": value} for key, value in (("Model", model), ("EndpointName", endpoint))
    ]
    world.answers["cloudformation.DescribeStacks"] = {"Stacks": [{**stack("UPDATE_COMPLETE"), "Outputs": outputs}]}
    said, fix = f"A deploy with these settings brings {said}.", f"To keep what is there: {fix}"
    assert found(world).get("change") == (Check("change", "ok", said, fix) if model != "emoji" else None)


def test_a_stack_that_changes_is_not_green(found: Callable[..., dict[str, Check]]) -> None:
    world = healthy()
    world.answers["cloudformation.DescribeStacks"] = {"Stacks": [stack("UPDATE_IN_PROGRESS")]}
    said = "EaselModel is UPDATE_IN_PROGRESS."
    assert found(world)["stacks"] == Check("stacks", "unknown", said, "Wait until it has ended")


def test_a_first_deploy_is_not_taken_for_a_failure(found: Callable[..., dict[str, Check]]) -> None:
    """The import may take most of an hour before there is an endpoint."""
    world, now = healthy(), datetime.now(UTC)
    world.answers["cloudformation.DescribeStacks"] = {"Stacks": [stack("CREATE_IN_PROGRESS")]}
    made, *_ = resources()
    begun = {"ResourceType": "Custom::EaselImport", "ResourceStatus": "CREATE_IN_PROGRESS"}
    listed = [
        {**made, "ResourceType": "AWS::SNS::Topic"},
        {**made, **begun, "LogicalResourceId": "Alarm", "LastUpdatedTimestamp": now},
        {**made, **begun, "LogicalResourceId": "ReleaseImport", "LastUpdatedTimestamp": now - timedelta(minutes=6)},
    ]
    world.answers["cloudformation.ListStackResources"] = {"StackResourceSummaries": listed}
    progress = "3 of 17 files, 1.20 of 4.57 GB, 96.3 MB/s"
    world.answers["logs.DescribeLogStreams"] = {"logStreams": [{"logStreamName": "s"}]}
    world.answers["logs.GetLogEvents"] = {
        "events": [{"timestamp": 1, "message": f"{one}\n"} for one in ("a", progress)]
    }
    checks, wait = found(world), "Wait until it has ended"
    assert world.calls("logs.DescribeLogStreams")[0]["logGroupName"] == "/easel/EaselModel/import"
    said = "EaselModel is CREATE_IN_PROGRESS, at ReleaseImport for 6 min."
    assert checks["stacks"] == Check("stacks", "unknown", said, wait, (progress,))
    said = "The stack has no endpoint yet: it is CREATE_IN_PROGRESS."
    assert checks["endpoint"] == Check("endpoint", "unknown", said, wait)


def test_what_no_price_list_and_no_quota_tells_of_is_not_green(found: Callable[..., dict[str, Check]]) -> None:
    world = healthy()
    world.answers["pricing.GetProducts"] = prices()
    said, fix = f"AWS's price list does not say what {REGION} offers.", "Look at the region's types in the console"
    assert found(world)["region"] == Check("region", "unknown", said, f"{fix}, or try")
    importing = preflight.importing(world.account(), read_plan(["model=sdxl"], ROOT))
    assert importing == Check("import", "unknown", f"{REGION} tells of no quota '{preflight.BUILDS}'.")


def test_a_known_failure_is_shown_with_the_last_lines(found: Callable[..., dict[str, Check]]) -> None:
    world = healthy()
    world.answers["logs.GetLogEvents"] = logged(*"abcdefg", "No module named 'diffusers'")
    assert found(world)["log"].lines == ("d", "e", "f", "g", "No module named 'diffusers'")
    assert world.calls("logs.DescribeLogStreams")[0]["logGroupName"] == GROUP


def test_sagemakers_own_log_of_an_async_endpoints_calls_is_not_the_containers(
    found: Callable[..., dict[str, Check]],
) -> None:
    """It lies in the same group and is the newest after every picture."""
    said = {
        "AllTraffic/i-1/data-log": "Inference request succeeded.",
        "AllTraffic/i-0/data-log": "Inference request failed.",
        "AllTraffic/i-0": "torch.OutOfMemoryError: CUDA out of memory.",
        "AllTraffic/i-9": "Model server started.",
    }
    world = healthy()
    world.answers["logs.DescribeLogStreams"] = lambda asked: {
        "logStreams": [{"logStreamName": name} for name in said][: asked["limit"]]
    }
    world.answers["logs.GetLogEvents"] = lambda asked: logged(said[asked["logStreamName"]])
    check = found(world)["log"]
    assert (check.mark, check.lines) == ("failed", (said["AllTraffic/i-0"],))
    for name in ("AllTraffic/i-0", "AllTraffic/i-9"):
        del said[name]
    assert found(world)["log"].said == "The container has written nothing yet."


def test_a_silent_container_is_not_green(found: Callable[..., dict[str, Check]]) -> None:
    world = healthy()
    world.answers["logs.DescribeLogStreams"] = refusal("ResourceNotFoundException", "The specified log group …")
    said = "The container has written nothing yet."
    assert found(world)["log"] == Check("log", "unknown", said, "Look again when the endpoint started")


def test_a_model_that_no_instance_holds(found: Callable[..., dict[str, Check]]) -> None:
    broken = read_plan(["model=nope"], ROOT)
    checks = found(healthy(), plan=broken)
    ways_out = "easel models lists what there is; docs/aws.md says what fits"
    assert checks["model"] == Check("model", "failed", broken.refusal, ways_out)
    assert broken.refusal.startswith("There is no model 'nope'")
    nothing = "Could not be checked: no instance type is known, since the model cannot be deployed."
    for name in ("region", "quota"):
        assert checks[name] == Check(name, "unknown", nothing)


# --- this machine --------------------------------------------------------------------------------


NEWER = "https://nodejs.org, 22 or newer"


def program(folder: Path, says: str) -> Path:
    path = folder / "node"
    path.write_text(f"#!/bin/sh\necho {says}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("says", "mark", "said"),
    [
        ("v22.0.0", "ok", "Node is v22.0.0."),
        ("v20.0.0", "ok", "Node is v20.0.0. The CDK warns of its end; 22 or newer spares you that."),
        ("v19.9.9", "failed", "Node is v19.9.9; the CDK needs 20 or newer."),
        ("", "failed", "Node is of no version; the CDK needs 20 or newer."),
    ],
)
def test_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, mark: Any, said: str) -> None:
    program(tmp_path, says)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert local_machine.node(ROOT) == Check("node", mark, said, NEWER if mark == "failed" else "")


def test_no_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert local_machine.node(ROOT) == Check("node", "failed", "Node is not installed; the CDK runs on it.", NEWER)


def test_a_node_that_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = program(tmp_path, "")
    path.write_text("#!/not/there\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    said = f"{path} does not run: [Errno 2] No such file or directory: '{path}'."
    assert local_machine.node(ROOT) == Check("node", "failed", said, "Install it again: https://nodejs.org")


def test_the_cdk_is_the_pinned_one(tmp_path: Path) -> None:
    shutil.copy(ROOT / "package.json", tmp_path)
    pinned = json.loads((ROOT / "package.json").read_text())["devDependencies"]["aws-cdk"]
    missing = Check("cdk", "failed", f"The CDK's command line {pinned} is not installed here.", "make synth")
    assert local_machine.cdk(tmp_path) == missing
    installed = tmp_path / "node_modules/aws-cdk/package.json"
    installed.parent.mkdir(parents=True)
    installed.write_text('{"version": "3.0.0"}')
    other = f"The CDK's command line is 3.0.0; the stacks are tested with {pinned}."
    assert local_machine.cdk(tmp_path) == Check("cdk", "failed", other, "npm ci")
    installed.write_text(json.dumps({"version": pinned}))
    assert local_machine.cdk(tmp_path).mark == "ok"


def mine(tmp_path: Path) -> Plan:
    """A model folder of one's own with its entry beside it, small and in order."""
    shutil.copytree(ROOT / "models/emoji", tmp_path / "mine", ignore=shutil.ignore_patterns("*.safetensors"))
    for name in ("text_encoder/model", "unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model"):
        (tmp_path / f"mine/{name}.safetensors").write_bytes(b"\2" + bytes(7) + b"{}")
    entry = json.loads((ROOT / "models/emoji.json").read_text())
    (tmp_path / "mine.json").write_text(
        json.dumps({**entry, "id": "mine", "source": {"kind": "folder", "path": "mine"}})
    )
    return read_plan([f"model={tmp_path / 'mine'}"], ROOT)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda at: (at / "unet/weights.bin").write_bytes(b""), ""),
        (lambda at: (at / "unet/diffusion_pytorch_model.safetensors").rename(at / "unet/weights.bin"),
         "cannot be released: unet has no safetensors of the variant 'fp16', nor plain ones, only weights.bin. Pickled "
         f"weights can run code when they are read: none is taken. {BELONGS}"),
        (lambda at: (at / "model_index.json").write_text('{"_class_name": "Evil"}'),
         f"cannot be released: The pipeline is a 'Evil'. Known are {', '.join(PIPELINES)}. {BELONGS}"),
        (lambda at: (at / "out").symlink_to("/etc/hosts"),
         "cannot be released: out is a symbolic link. Put there what it leads to, as cp -rL does. " + BELONGS),
        (lambda at: (at / "unet/diffusion_pytorch_model.safetensors").unlink(),
         f"cannot be released: unet has no safetensors of the variant 'fp16', nor plain ones. {BELONGS}"),
        (lambda at: (at / ("x" * 255)).write_bytes(b""), ""),
        (lambda at: (at / "unet/diffusion_pytorch_model.safetensors").write_text("version https://git-lfs.…/spec/v1"),
         "would not load: unet/diffusion_pytorch_model.safetensors is damaged or cut off. Fetch it anew; a pointer of "
         "Git LFS is no weights."),
        (lambda at: (at / "vocabulary.json").write_text("{}"),
         "would not load: vocabulary.json is no list of lists of names. Write a list of lists of names, like "
         '[["panda", "熊猫"], ["cat"]], or leave the file out.'),
        (lambda at: (at / "model_index.json").unlink(),
         f"cannot be released: it is not a diffusers pipeline: it has no model_index.json. {BELONGS}"),
    ],
    ids=["beside", "pickle", "class", "link", "weights", "longest", "pointer", "vocabulary", "index"],
)  # fmt: skip
def test_a_folder_that_the_deploy_or_the_container_would_refuse(
    tmp_path: Path, spoil: Callable[[Path], Any], said: str
) -> None:
    plan = mine(tmp_path)
    fine = Check("folder", "ok", f"{tmp_path / 'mine'}: safetensors only, known classes, 0.00 GB.")
    assert local_machine.folder(plan) == fine
    spoil(tmp_path / "mine")
    failed = Check("folder", "failed", f"{tmp_path / 'mine'} {said}", local_machine.MEND)
    assert local_machine.folder(plan) == (failed if said else fine)


def test_a_folder_is_checked_where_torch_is_missing() -> None:
    program = (
        "import sys; sys.modules.update(torch=None, diffusers=None)\n"
        "from easel import ROOT; from easel.cloud.doctor import local_machine; from easel.cloud.doctor.plan import read_plan\n"
        "print(local_machine.folder(read_plan(['model=emoji'], ROOT)).text(lambda text, colour: text))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert ran.stdout.startswith("✓ folder")
    assert "safetensors only, known classes" in ran.stdout


def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = mine(tmp_path)
    taken = [tmp_path / "mine" / name for name in released_files(tmp_path / "mine")]
    needed = local_machine.SPARE_BYTES + 2 * sum(file.stat().st_size for file in taken)
    usage = SimpleNamespace(free=needed)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert local_machine.disk(plan, tmp_path).mark == "ok"
    usage.free = needed - 1
    said = f"1.0 GB are free at {tmp_path}; 1.0 are needed."
    assert local_machine.disk(plan, tmp_path) == Check("disk", "failed", said, "rm -rf cdk.out, or make room")


SDXL = read_model("sdxl", ROOT)
assert isinstance(SDXL.source, HubSource)
XL, COMMIT = SDXL.source.repository, SDXL.source.revision
LICENSED = f"sdxl: licence {SDXL.licence} ({SDXL.licence_url}), no gate"
ACCEPT = f"Accept the licence at https://hub.test/{XL}, then export HF_TOKEN=… and store it for hub_token_secret"


@pytest.mark.parametrize(
    ("status", "token", "mark", "said", "fix"),
    [
        (200, "", "ok", f"the hub has {XL} at {COMMIT[:12]}.", ""),
        (401, "", "failed", f"the hub does not give {XL} to strangers, and HF_TOKEN is not set (401).", ACCEPT),
        (403, "hf_x", "failed", f"the hub does not give {XL} to the owner of HF_TOKEN (403).", ACCEPT),
        (404, "", "failed", f"the hub has no {XL} at {COMMIT[:12]} any more.",
         "Take another model, or a copy: -c model=path/to/yours"),
        (500, "", "unknown", "the hub answers 500.", "Try again later"),
    ],
)  # fmt: skip
def test_the_hub(monkeypatch: pytest.MonkeyPatch, status: int, token: str, mark: Any, said: str, fix: str) -> None:
    asked: list[tuple[str, Any]] = []

    def head(url: str, **more: Any) -> httpx.Response:
        asked.append((url, more["headers"]))
        return httpx.Response(status)

    monkeypatch.setattr(httpx, "head", head)
    monkeypatch.setenv("HF_TOKEN", token)
    check = local_machine.model(read_plan(["model=sdxl", "hub_url=https://hub.test/"], ROOT))
    assert check == Check("model", mark, f"{LICENSED}; {said}", fix)
    sent = {"authorization": f"Bearer {token}"} if token else {}
    assert asked[0] == (f"https://hub.test/{XL}/resolve/{COMMIT}/model_index.json", sent)


@pytest.mark.parametrize(("status", "token", "mark"), [(401, "", "unknown"), (403, "hf_x", "failed"), (200, "", "ok")])
def test_a_secret_that_only_the_import_reads_is_not_known_to_fail(
    monkeypatch: pytest.MonkeyPatch, status: int, token: str, mark: Any
) -> None:
    monkeypatch.setattr(httpx, "head", lambda *_, **__: httpx.Response(status))
    monkeypatch.setenv("HF_TOKEN", token)
    check = local_machine.model(
        read_plan(["model=sdxl", "hub_url=https://hub.test", "hub_token_secret=hub-token"], ROOT)
    )
    assert check.mark == mark
    if mark == "unknown":
        told = f"the hub does not give {XL} to strangers, and HF_TOKEN is not set (401); the import sends hub-token."
        assert check.said == f"{LICENSED}; {told}"
        assert check.fix == "export HF_TOKEN=… of the same account to have it checked"


def test_a_part_that_is_gone_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    source = read_model("sdxl-lcm", ROOT).source
    assert isinstance(source, HubSource)
    *_, part = source.parts.values()
    gone = f"https://huggingface.co/{part.repository}/resolve/{part.revision}/config.json"
    monkeypatch.setattr(httpx, "head", lambda url, **_: httpx.Response(404 if url == gone else 200))
    check = local_machine.model(read_plan(["model=sdxl-lcm"], ROOT))
    assert (check.mark, f"has no {part.repository} at" in check.said) == ("failed", True)


def test_the_hub_out_of_reach_is_not_green(monkeypatch: pytest.MonkeyPatch) -> None:
    said = f"{LICENSED}; https://127.0.0.1:1 cannot be reached from here (ConnectError)."
    fix = "Check the network, or set hub_url to a mirror"
    plan = read_plan(["model=sdxl", "hub_url=https://127.0.0.1:1"], ROOT)
    assert local_machine.model(plan) == Check("model", "unknown", said, fix)
    monkeypatch.setenv("ALL_PROXY", "socks9://127.0.0.1:1")
    unseen = local_machine.model(plan)
    assert (unseen.mark, "socks9://127.0.0.1:1" in unseen.said) == ("unknown", True)


@pytest.mark.parametrize("call", ["cloudformation.ListStackResources", "sagemaker.ListEndpointConfigs"])
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("ThrottlingException", "AWS takes no more calls at the moment"),
        ("OptInRequired", "AWS does not know these credentials"),
    ],
)
def test_what_aws_does_not_say_is_not_known_to_fail(
    found: Callable[..., dict[str, Check]], call: str, code: str, said: str
) -> None:
    world = healthy()
    world.answers[call] = refusal(code, "Rate exceeded")
    check = found(world)["endpoint"]
    assert check.mark == "unknown"
    assert check.said.startswith(said)


@pytest.mark.parametrize(
    ("settings", "region", "said"),
    [
        (["site=on"], "us-gov-west-1", "site is on, but CloudFront is not in AWS GovCloud."),
        ([], "mx-central-1", "AWS has no serving image in mx-central-1."),
        (["kms_key_arn=arn:aws:kms:eu-west-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"], "us-east-1",
         "kms_key_arn is of eu-west-1, and Easel goes to us-east-1."),
    ],
)  # fmt: skip
def test_what_synthesis_would_refuse_is_told_before(settings: list[str], region: str, said: str) -> None:
    check = preflight.settings(FakeAws().account(region), read_plan(["model=emoji", *settings], ROOT))
    assert check is not None
    assert (check.name, check.mark) == ("settings", "failed")
    assert check.said.startswith(said)


def test_a_class_that_the_image_lacks_is_told_before() -> None:
    plan = read_plan(["model=emoji"], ROOT)
    assert preflight.settings(FakeAws().account(), plan) is None
    assert plan.model
    newer = replace(plan, model=replace(plan.model, diffusers="0.42.0"))
    check = preflight.settings(FakeAws().account(), newer)
    assert check is not None
    assert check.said.startswith("emoji needs diffusers 0.42.0")


# --- the command ---------------------------------------------------------------------------------


def test_settings_are_those_of_the_cdk() -> None:
    plan = read_plan(["mode=realtime", "model=sdxl"], ROOT)
    assert (plan.settings.mode, plan.instance_type) == ("realtime", "ml.g4dn.xlarge")
    for pair in ("modell=x", "mode"):
        with pytest.raises(CommandError) as refused:
            read_plan([pair], ROOT)
        assert refused.value.code == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"context": {"model": "emoji",}}', "cdk.json cannot be read: Expecting property name"),
        ("[]", "cdk.json cannot be read: "),
        ('{"context": ["model"]}', "context in cdk.json is ['model']; it must be an object"),
    ],
)
def test_settings_that_cannot_be_read_are_told(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "cdk.json").write_text(text)
    with pytest.raises(CommandError) as refused:
        read_plan([], tmp_path)
    assert refused.value.why.startswith(said)


def test_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    checks = [Check("a", "ok", "Fine."), Check("b", "failed", "Not.", "Do.", ("line",)), Check("c", "unknown", "Hm.")]
    assert report(iter(checks), as_json=False) == 1
    assert capsys.readouterr().out.splitlines() == [
        "✓ a           Fine.",
        "✗ b           Not.",
        "              → Do.",
        "              │ line",
        "? c           Hm.",
        "1 in order, 1 not, 1 could not be checked.",
    ]
    assert report(iter(checks), as_json=True) == 1
    told = json.loads(capsys.readouterr().out)
    assert [check["ok"] for check in told["checks"]] == [True, False, None]
    assert told["ok"] is False
    assert report(iter(checks[:1]), as_json=True) == 0
    assert report(iter([checks[2]]), as_json=True) == 1, "what could not be checked is not in order"


def test_offline_and_without_credentials(tmp_path: Path) -> None:
    """The command itself: no traceback, nothing green that was not looked at."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    nowhere = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/dev/null", "HOME": str(tmp_path)}
    done = subprocess.run(
        [*EASEL, "doctor", "--region", REGION, "--json"],
        cwd=ROOT, env={**kept, **nowhere, "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")
    marks = {check["name"]: check["ok"] for check in json.loads(done.stdout)["checks"]}
    assert marks["account"] is False
    assert {marks[name] for name in ("region", "quota", "lambda", "bootstrap", "stacks")} == {None}


@pytest.mark.parametrize(
    "words",
    [
        ["doctor", "-c", "modell=x"],
        ["doctor", "--region", "Frankfurt"],
        ["pause", "--minutes", "0"],
        ["outputs", "--export", "--json"],
    ],
)
def test_wrong_usage(words: list[str]) -> None:
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 2


def test_a_laptop_has_no_boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(CommandError) as refused:
        open_account(REGION)
    assert (refused.value.what, refused.value.code) == ("boto3 is not installed", 3)
    assert "requirements.txt" in refused.value.fix


def test_the_region_is_the_cdks(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS_REGION first, which boto3 alone would not read."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    with pytest.raises(CommandError, match="No region is set"):
        open_account(None)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    assert open_account(None).region == "us-west-2"
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    assert open_account(None).region == "eu-west-3"
    assert open_account("cn-north-1", otherwise="us-east-1").partition == "aws-cn"
    assert open_account(None, otherwise="us-east-1").region == "eu-west-3"


# --- hints ---------------------------------------------------------------------------------------


def refused(error: str, cause: str) -> str:
    """The container's line of a folder that did not load (model_code/loading/load_errors.py)."""
    return json.dumps({"event": "refused", "code": "config_error", "cause": cause, "error": error})


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ResourceLimitExceeded: … is 0 Instances", "quota"),
        ("InsufficientInstanceCapacity", "free now"),
        ("The primary container for production variant AllTraffic did not pass the ping health check.", "log lines"),
        ("CannotStartContainerError. Please ensure …", "instance type"),
        ("OSError: [Errno 28] No space left on device", "disk"),
        ("RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB", "card's memory"),
        ("[INFO] W-9000-model org.pytorch - Worker died.", "own memory"),
        (refused("RuntimeError", "DefaultCPUAllocator: can't allocate memory: you tried …"), "own memory"),
        (refused("OutOfMemoryError", "CUDA out of memory. Tried …"), "card's memory"),
        (refused("ModuleNotFoundError", "No module named 'diffusers'"), "lacks a module"),
        (refused("SafetensorError", "Error while deserializing header"), "refuses the model folder"),
        ('{"code":400,"type":"InternalServerException","message":"No module named \'diffusers\'"}', "lacks a module"),
        ("The NVIDIA driver on your system is too old (found version 11040)", "driver"),
        ("CUDA error: an illegal memory access was encountered", "no process recovers"),
        ("huggingface_hub.errors.GatedRepoError: 403 Client Error", "licence"),
        ("User: arn:… is not authorized to perform: s3:GetObject", "deploy --all --revert-drift"),
        ("Could not find model data at s3://…/releases/0/", "npx cdk destroy EaselModel, then npx cdk deploy --all"),
        ('Could not find endpoint "arn:…"', "easel resume"),
        ("Cannot create already existing endpoint configuration", "easel leftovers"),
        ("The bucket you tried to delete is not empty", "empty it"),
        ("EaselError config_error: unet/x.bin is not safe to read", "refuses the model folder"),
        ("Your invocation timed out while waiting for a response", "mode=async"),
    ],
)
def test_a_known_failure_has_a_hint(line: str, words: str) -> None:
    assert words in hint_for(line)


@pytest.mark.parametrize(
    "line",
    [
        "Default response timeout: 960",
        '{"level": "INFO", "message": "loaded", "pipeline": "StableDiffusionPipeline", "device": "cuda"}',
        "W-9000-model-stdout Model server started.",
        '"GET /ping HTTP/1.1" 200 0',
    ],
)
def test_what_is_usual_has_none(line: str) -> None:
    assert hint_for(line) == ""


def test_hints_are_one_line_with_a_way_out() -> None:
    assert all(len(hint) < 140 and hint.endswith(".") for _, hint in HINTS)
