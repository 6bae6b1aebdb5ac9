"""Alarms and dashboard: of metrics that exist, with words that help."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest

from app import ROOT
from contract import ERRORS
from stacks.api.alarms import SAYS
from stacks.model.endpoint import VARIANT
from tests.stacks.assembly import Assembly

HARMLESS = "Nothing to do."
ALARM, DASHBOARD = "AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard"
ASYNC = {"ServerErrors", "Throttled", "LostEvents", "FailingJobs", "WrongSettings", "IdleInstance", "NoCapacity",
         "Undelivered"}  # fmt: skip


def alarms(assembly: Assembly) -> dict[str, dict[str, Any]]:
    found = assembly.resources(ALARM, "EaselApi")
    return {id.removeprefix("Alarms")[:-8]: resource["Properties"] for id, resource in found.items()}


def dimensions(alarm: dict[str, Any]) -> set[str]:
    return {one["Name"] for one in alarm["Dimensions"]}


def written() -> dict[str, set[str]]:
    """The metrics that `lambda/gateway/telemetry.py` writes, and the dimension of each."""
    tree = ast.parse((ROOT / "lambda" / "telemetry.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    named = [
        [str(argument.value) for argument in call.args if isinstance(argument, ast.Constant)]
        for call in calls
        if call.func.attr in ("_count", "_metric")  # type: ignore[attr-defined]
    ]
    return {name: set(rest) for name, *rest in (texts for texts in named if texts)}


def test_each_mode_has_the_alarms_that_can_ring(default: Assembly, realtime: Assembly) -> None:
    assert set(alarms(default)) == ASYNC == set(SAYS)
    assert set(alarms(realtime)) == ASYNC - {"NoCapacity", "Undelivered"}


def test_an_alarm_says_what_to_do_and_to_whom(each: Assembly) -> None:
    ways_out = ("Run `", "Raise ", "Read ", "Deploy ", "`easel pause`", "Another instance_type")
    for id, alarm in alarms(each).items():
        assert any(way in alarm["AlarmDescription"] for way in ways_out), id
        assert len(alarm["AlarmDescription"]) <= 1024
        assert len(alarm["AlarmActions"]) == 1
        assert alarm["TreatMissingData"] == "notBreaching"


def test_every_alarm_says_what_to_do_even_if_that_is_nothing(each: Assembly) -> None:
    """Also those that wake an endpoint and that take an update back."""
    found = {id: one["Properties"]["AlarmDescription"] for id, one in each.resources(ALARM).items()}
    for id, text in found.items():
        ways_out = ("`easel doctor`", "Raise ", "Read ", "Deploy ", "`easel pause`", "Another instance_type", HARMLESS)
        assert any(way in text for way in ways_out), id
    own = {id for id in found if not id.startswith("Alarms")}
    assert own == each.resources(ALARM, "EaselModel").keys()
    assert all(found[id].endswith(HARMLESS) for id in own if not id.startswith("EndpointRollback"))


def test_commands_of_the_alarms_are_ours() -> None:
    for text in SAYS.values():
        for command in text.split("`")[1::2]:
            assert command.split()[0] in ("easel", "aws", "npx", "cause"), command


def test_what_was_changed_by_hand_is_undone_by_a_deploy_that_looks_for_it() -> None:
    """The CDK skips a stack whose template is the one that was deployed."""
    for id, text in SAYS.items():
        assert ("Deploy again" in text) is ("`npx cdk deploy --all --revert-drift`" in text), id
    assert all("Deploy again" in SAYS[id] for id in ("WrongSettings", "Undelivered"))


def test_alarms_of_our_metrics_are_of_metrics_that_are_written(default: Assembly) -> None:
    ours = {id: alarm for id, alarm in alarms(default).items() if alarm["Namespace"] == "Easel"}
    assert set(ours) == {"FailingJobs", "WrongSettings"}
    for alarm in ours.values():
        (dimension,) = dimensions(alarm) - {"service"}
        assert dimension in written()[alarm["MetricName"]]
        assert {"Name": "service", "Value": "easel"} in alarm["Dimensions"]


def test_an_update_is_taken_back_by_every_way_in_which_a_release_fails(own: Assembly) -> None:
    """What the container's server refuses SageMaker counts; what our container answers as an error, our functions."""
    alarms = rollbacks(own)
    assert {watched(alarm) for alarm in alarms} == {
        ("AWS/SageMaker", "Invocation4XXErrors"),
        ("AWS/SageMaker", "InvocationModelErrors"),
        ("Easel", "JobErrors", "config_error"),
        ("Easel", "JobErrors", "container_died"),
        ("Easel", "JobErrors", "model_error"),
    }
    assert {code for _, _, *codes in map(watched, alarms) for code in codes} <= ERRORS.keys()
    assert "code" in written()["JobErrors"]
    assert all({"Statistic", "Period", "EvaluationPeriods"} <= alarm.keys() for alarm in alarms)
    named = own.only("AWS::SageMaker::Endpoint")["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]
    assert len(named) == len(alarms)


def rollbacks(assembly: Assembly) -> list[dict[str, Any]]:
    return [one["Properties"] for id, one in assembly.resources(ALARM, "EaselModel").items() if "Rollback" in id]


def watched(alarm: dict[str, Any]) -> tuple[str, ...]:
    codes = (one["Value"] for one in alarm["Dimensions"] if one["Name"] == "code")
    return (alarm["Namespace"], alarm["MetricName"], *codes)


DIED, REFUSED = (0, 1, 1), (1, 0, 1)
DRAWN, BUSY, LATE = (0, 0, 0), (0, 1, 1), (0, 0, 1)
"""What SageMaker counts of a call as Invocation4XXErrors, Invocation5XXErrors and InvocationModelErrors."""
COUNTED = ("Invocation4XXErrors", "Invocation5XXErrors", "InvocationModelErrors")


def rings(alarm: dict[str, Any], calls: list[tuple[int, tuple[int, int, int]]]) -> bool:
    """Whether it would, by the seconds at which calls ended and what each was counted as; it looks every minute."""
    if alarm["Namespace"] != "AWS/SageMaker":
        return False
    period, at = alarm["Period"], COUNTED.index(alarm["MetricName"])

    def breaches(end: int) -> bool:
        values = [counted[at] for second, counted in calls if end - period <= second < end]
        return bool(values) and sum(values) / (len(values) if alarm["Statistic"] == "Average" else 1) >= 1

    looks = range(60, calls[-1][0] + period * alarm["EvaluationPeriods"], 60)
    return any(all(breaches(end - i * period) for i in range(alarm["EvaluationPeriods"])) for end in looks)


def at(seconds: range, counted: tuple[int, int, int]) -> list[tuple[int, tuple[int, int, int]]]:
    return [(second, counted) for second in seconds]


@pytest.mark.parametrize(
    ("calls", "back"),
    [
        (at(range(59, 600, 2), BUSY) + at(range(109, 600, 50), DRAWN), False),
        (at(range(58, 60), BUSY) + at(range(118, 119), DRAWN), False),
        (at(range(59, 200, 5), LATE) + at(range(200, 600, 20), DRAWN), False),
        (at(range(30, 600, 30), DIED), True),
        (at(range(30, 600, 60), LATE), True),
        ([*at(range(30, 600, 60), DRAWN), (310, REFUSED)], True),
    ],
    ids=["load", "a burst", "a long load of the model", "dead", "hangs", "refuses"],
)
def test_a_busy_container_takes_no_update_back_and_a_dead_one_does(
    own: Assembly, calls: list[tuple[int, tuple[int, int, int]]], back: bool
) -> None:
    """One in the drawing and four in the queue: beyond, a container that is well answers 503 (tests/parity)."""
    assert any(rings(alarm, sorted(calls)) for alarm in rollbacks(own)) is back


def test_sagemakers_metrics_have_the_dimensions_that_sagemaker_gives_them(default: Assembly) -> None:
    all_ = alarms(default)
    assert dimensions(all_["NoCapacity"]) == {"EndpointName"}
    assert dimensions(all_["Undelivered"]) == dimensions(all_["IdleInstance"]) == {"EndpointName", "VariantName"}
    assert all_["IdleInstance"]["Namespace"] == "/aws/sagemaker/Endpoints"
    assert {"Name": "VariantName", "Value": VARIANT} in all_["IdleInstance"]["Dimensions"]


def test_an_idle_instance_is_one_that_ran_for_hours_below_a_tenth_of_a_core(default: Assembly) -> None:
    idle = alarms(default)["IdleInstance"]
    assert (idle["Statistic"], idle["Period"], idle["EvaluationPeriods"]) == ("Maximum", 3600, 3)
    assert (idle["Threshold"], idle["ComparisonOperator"]) == (10, "LessThanThreshold")


def body(assembly: Assembly) -> str:
    """The dashboard's JSON, with a word in the place of what only AWS knows."""
    text = assembly.only(DASHBOARD)["DashboardBody"]
    return text if isinstance(text, str) else "".join(
        part if isinstance(part, str) else "token" for part in text["Fn::Join"][1]
    )  # fmt: skip


def test_the_dashboard_has_requests_times_queue_gpu_cost_and_log(default: Assembly) -> None:
    widgets = json.loads(body(default))["widgets"]
    titles = {widget["properties"].get("title", "") for widget in widgets}
    for title in ("Alarms", "Requests", "Errors of requests, by code", "Failures of jobs, by code", "Queue",
                  "GPU (percent)", "Time to the picture, queue and start included", "Instances",
                  "Cost of instances, about (USD, us-east-1)"):  # fmt: skip
        assert title in titles
    text = body(default)
    for statistic in ("p50", "p95", "p99"):
        assert f'"stat":"{statistic}"' in text
    assert "0.7364" in text
    (log,) = (widget for widget in widgets if widget["type"] == "log")
    assert log["properties"]["query"].count("SOURCE") == 3
    assert "inference_id" in log["properties"]["query"]


def test_the_dashboard_of_realtime_has_calls_in_the_place_of_a_queue(realtime: Assembly) -> None:
    assert "Calls of the endpoint" in body(realtime)
    assert "ApproximateBacklogSize" not in body(realtime)


def test_the_dashboards_name_is_told(default: Assembly) -> None:
    (id,) = default.resources(DASHBOARD)
    assert default.outputs("EaselApi")["DashboardName"] == {"Ref": id}
