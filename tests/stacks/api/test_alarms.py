"""Alarms: of metrics that exist, with a description that says what to do."""

from __future__ import annotations

import ast
import re
from typing import Any

from app import ROOT
from aws.endpoints import _WAKE_MINUTES
from stacks.api.alarms import DESCRIPTIONS, SLOW_SECONDS
from stacks.config.names import INFORMATIONAL_TAG
from stacks.model.endpoint import VARIANT
from tests.stacks.assembly import Assembly

ALARM = "AWS::CloudWatch::Alarm"
ASYNC = {"ServerErrors", "Throttled", "FunctionErrors", "LostEvents", "FailingJobs", "OldestJob", "SlowJobs",
         "WrongSettings", "IdleInstance", "NoCapacity", "Undelivered"}  # fmt: skip
WEBHOOKS = {"LostWebhooks"}


def alarms(assembly: Assembly) -> dict[str, dict[str, Any]]:
    found = assembly.resources(ALARM, "EaselApi")
    return {id.removeprefix("Alarms")[:-8]: resource["Properties"] for id, resource in found.items()}


def dimensions(alarm: dict[str, Any]) -> set[str]:
    return {dimension["Name"] for dimension in alarm["Dimensions"]}


def written_metrics() -> dict[str, set[str]]:
    """Return metric to dimensions of the metrics that `lambda/gateway/telemetry.py` writes."""
    tree = ast.parse((ROOT / "lambda" / "gateway" / "telemetry.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    named = [
        [
            *(str(argument.value) for argument in call.args if isinstance(argument, ast.Constant)),
            *(str(keyword.arg) for keyword in call.keywords),
        ]
        for call in calls
        if call.func.attr in ("_count", "_metric")  # type: ignore[attr-defined]
    ]
    written: dict[str, set[str]] = {}
    for name, *dimensions in (texts for texts in named if texts):
        written.setdefault(name, set()).update(item for item in dimensions if item != "1")
    return written


def is_informational(alarm: dict[str, Any]) -> bool:
    return INFORMATIONAL_TAG in {tag["Key"] for tag in alarm.get("Tags", [])}


def test_each_mode_has_its_alarms(default: Assembly, realtime: Assembly, own: Assembly, hub: Assembly) -> None:
    assert set(alarms(default)) == ASYNC == set(DESCRIPTIONS) - WEBHOOKS
    assert set(alarms(hub)) == ASYNC | WEBHOOKS
    assert set(alarms(own)) == (ASYNC | WEBHOOKS) - {"NoCapacity", "Undelivered"}
    assert set(alarms(realtime)) == ASYNC - {"NoCapacity", "Undelivered"}


def test_an_alarm_is_sent_with_a_description_that_fits(each: Assembly) -> None:
    for id, alarm in alarms(each).items():
        assert alarm["AlarmDescription"] == DESCRIPTIONS[id]
        assert len(alarm["AlarmDescription"]) <= 1024
        assert len(alarm["AlarmActions"]) == 1
        assert alarm["TreatMissingData"] == "notBreaching"


def test_only_the_alarm_that_wakes_the_endpoint_is_informational(each: Assembly) -> None:
    """`easel doctor` reports every other alarm, with its description as what to do."""
    found = {id: alarm["Properties"] for id, alarm in each.resources(ALARM).items()}
    assert all(alarm["AlarmDescription"] for alarm in found.values())
    informational = {id for id, alarm in found.items() if is_informational(alarm)}
    assert informational == {id for id in found if id.startswith("Scaling")}
    others = {id for id in each.resources(ALARM, "EaselModel") if id not in informational}
    assert all("`easel doctor`" in found[id]["AlarmDescription"] for id in others)


def test_descriptions_name_commands_and_settings() -> None:
    settings = {
        "Throttled": "api_concurrency",
        "FunctionErrors": "log",
        "LostEvents": "LostEvents",
        "NoCapacity": "instance_fallbacks",
    }
    for id, text in DESCRIPTIONS.items():
        assert "`" in text or settings[id] in text, id
        for command in text.split("`")[1::2]:
            assert command.split()[0] in ("easel", "aws", "npx", "cause"), command


def test_a_redeploy_reverts_changes_made_by_hand() -> None:
    """Without `--revert-drift`, the CDK skips a stack whose template has not changed."""
    redeploy = {id for id, text in DESCRIPTIONS.items() if "npx cdk deploy" in text}
    assert redeploy == {"WrongSettings", "Undelivered"}
    assert all("`npx cdk deploy --all --revert-drift`" in DESCRIPTIONS[id] for id in redeploy)


def test_alarms_of_our_metrics_use_metrics_that_are_written(default: Assembly) -> None:
    easel = {id: alarm for id, alarm in alarms(default).items() if alarm.get("Namespace") == "Easel"}
    assert set(easel) == {"FailingJobs", "SlowJobs", "WrongSettings"}
    for alarm in easel.values():
        (dimension,) = dimensions(alarm) - {"service"}
        assert dimension in written_metrics()[alarm["MetricName"]]
        assert {"Name": "service", "Value": "easel"} in alarm["Dimensions"]


def test_sagemakers_metrics_have_the_dimensions_that_sagemaker_writes(default: Assembly) -> None:
    found = alarms(default)
    assert dimensions(found["NoCapacity"]) == {"EndpointName"}
    assert dimensions(found["Undelivered"]) == dimensions(found["IdleInstance"]) == {"EndpointName", "VariantName"}
    assert found["IdleInstance"]["Namespace"] == "/aws/sagemaker/Endpoints"
    assert {"Name": "VariantName", "Value": VARIANT} in found["IdleInstance"]["Dimensions"]


def test_an_idle_instance_stays_below_a_tenth_of_a_core_for_three_hours(default: Assembly) -> None:
    idle = alarms(default)["IdleInstance"]
    assert (idle["Statistic"], idle["Period"], idle["EvaluationPeriods"]) == ("Maximum", 3600, 3)
    assert (idle["Threshold"], idle["ComparisonOperator"]) == (10, "LessThanThreshold")


def errors(alarm: dict[str, Any]) -> set[str]:
    """Return the logical ids of the functions whose errors an alarm adds up."""
    metrics = [item["MetricStat"]["Metric"] for item in alarm.get("Metrics", ()) if "MetricStat" in item]
    found = [metric for metric in (*metrics, alarm) if metric.get("Namespace") == "AWS/Lambda"]
    return {
        item["Value"]["Ref"] for metric in found if metric["MetricName"] == "Errors" for item in metric["Dimensions"]
    }


def test_the_errors_of_every_function_of_the_service_raise_an_alarm(each: Assembly) -> None:
    """Not of those in other stacks: CloudFormation, or the CDK, reports them within minutes. Nor of the authorizer:
    it raises for a wrong password, and where it fails the API responds 5xx, which has an alarm."""
    for stack in ("EaselApi", "EaselModel"):
        watched = [errors(alarm) for alarm in each.properties(ALARM, stack)]
        resources = each.resources("AWS::Lambda::Function", stack)
        functions = {id for id, item in resources.items() if item["Properties"]["Handler"] != "authorizer.handler"}
        assert set().union(*watched) == functions
        assert sum(map(len, watched)) == len(functions), "no error is mailed twice"


def test_a_sum_of_errors_has_a_value_when_some_functions_did_not_run(default: Assembly) -> None:
    (total,) = (item for item in alarms(default)["FunctionErrors"]["Metrics"] if "Expression" in item)
    assert re.fullmatch(r"FILL\(\w+, 0\) \+ FILL\(\w+, 0\)", total["Expression"])


def test_the_oldest_job_waits_thirty_minutes_at_most(default: Assembly, realtime: Assembly) -> None:
    oldest = alarms(default)["OldestJob"]
    assert (oldest["Namespace"], oldest["MetricName"]) == ("AWS/SageMaker", "ApproximateAgeOfOldestRequest")
    assert (oldest["Statistic"], oldest["Threshold"], dimensions(oldest)) == ("Maximum", 30 * 60, {"EndpointName"})
    oldest = alarms(realtime)["OldestJob"]  # queue_minutes is 5
    assert (oldest["Namespace"], oldest["MetricName"]) == ("AWS/Lambda", "AsyncEventAge")
    assert (oldest["Statistic"], oldest["Threshold"]) == ("Maximum", 2 * 60 * 1000)
    (runner,) = (id for id in realtime.resources("AWS::Lambda::Function", "EaselApi") if "Runner" in id)
    assert oldest["Dimensions"] == [{"Name": "FunctionName", "Value": {"Ref": runner}}]


def test_slow_jobs_are_measured_by_their_95th_percentile(default: Assembly, realtime: Assembly) -> None:
    for assembly, seconds in ((default, 900), (realtime, 60)):
        slow = alarms(assembly)["SlowJobs"]
        assert (slow["ExtendedStatistic"], slow["Threshold"], slow["EvaluationPeriods"]) == ("p95", seconds, 3)
        assert {"Name": "status", "Value": "succeeded"} in slow["Dimensions"]
    assert SLOW_SECONDS["async"] > 60 * _WAKE_MINUTES[1]
