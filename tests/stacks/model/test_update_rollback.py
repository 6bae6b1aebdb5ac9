"""The alarms that roll an update back: a bad release raises them, load does not."""

from __future__ import annotations

from typing import Any

import pytest

from contract import ERRORS
from tests.stacks.api.test_alarms import ALARM, written_metrics
from tests.stacks.assembly import Assembly

Counts = tuple[int, int, int]
COUNTED = ("Invocation4XXErrors", "Invocation5XXErrors", "InvocationModelErrors")
"""The metrics of SageMaker that `Counts` has, in this order, for one request."""
DIED, REFUSED = (0, 1, 1), (1, 0, 1)
SUCCEEDED, BUSY, LATE = (0, 0, 0), (0, 1, 1), (0, 0, 1)


def rollback_alarms(assembly: Assembly) -> list[dict[str, Any]]:
    return [alarm["Properties"] for id, alarm in assembly.resources(ALARM, "EaselModel").items() if "Rollback" in id]


def metric(alarm: dict[str, Any]) -> tuple[str, ...]:
    codes = (dimension["Value"] for dimension in alarm["Dimensions"] if dimension["Name"] == "code")
    return (alarm["Namespace"], alarm["MetricName"], *codes)


def models(alarms: list[dict[str, Any]]) -> set[str]:
    return {d["Value"] for alarm in alarms for d in alarm["Dimensions"] if d["Name"] == "model"}


def test_every_way_in_which_a_release_fails_rolls_an_update_back(own: Assembly) -> None:
    """SageMaker counts what the container's server refuses; our functions count errors in the container's output."""
    alarms = rollback_alarms(own)
    assert {metric(alarm) for alarm in alarms} == {
        ("AWS/SageMaker", "Invocation4XXErrors"),
        ("AWS/SageMaker", "InvocationModelErrors"),
        ("Easel", "JobErrors", "config_error"),
        ("Easel", "JobErrors", "container_died"),
        ("Easel", "JobErrors", "model_error"),
    }
    assert {code for _, _, *codes in map(metric, alarms) for code in codes} <= ERRORS.keys()
    assert {"code", "model"} <= written_metrics()["JobErrors"]
    assert not models(alarms), "until the API is deployed, jobs have the id of the model that is replaced"
    assert all({"Statistic", "Period", "EvaluationPeriods"} <= alarm.keys() for alarm in alarms)
    config = own.only("AWS::SageMaker::Endpoint")["DeploymentConfig"]["AutoRollbackConfiguration"]
    assert len(config["Alarms"]) == len(alarms)


def is_raised(alarm: dict[str, Any], requests: list[tuple[int, Counts]]) -> bool:
    """Return whether requests, each with the second of its end, raise an alarm that is evaluated every minute."""
    if alarm["Namespace"] != "AWS/SageMaker":
        return False
    period, index = alarm["Period"], COUNTED.index(alarm["MetricName"])

    def breaches(end: int) -> bool:
        values = [counts[index] for second, counts in requests if end - period <= second < end]
        return bool(values) and sum(values) / (len(values) if alarm["Statistic"] == "Average" else 1) >= 1

    evaluations = range(60, requests[-1][0] + period * alarm["EvaluationPeriods"], 60)
    return any(all(breaches(end - i * period) for i in range(alarm["EvaluationPeriods"])) for end in evaluations)


def at(seconds: range, counts: Counts) -> list[tuple[int, Counts]]:
    return [(second, counts) for second in seconds]


@pytest.mark.parametrize(
    ("requests", "rolled_back"),
    [
        (at(range(59, 600, 2), BUSY) + at(range(109, 600, 50), SUCCEEDED), False),
        (at(range(58, 60), BUSY) + at(range(118, 119), SUCCEEDED), False),
        (at(range(59, 200, 5), LATE) + at(range(200, 600, 20), SUCCEEDED), False),
        (at(range(30, 600, 30), DIED), True),
        (at(range(30, 600, 60), LATE), True),
        ([*at(range(30, 600, 60), SUCCEEDED), (310, REFUSED)], True),
    ],
    ids=["load", "a burst", "a model that loads for long", "dies", "hangs", "refuses"],
)
def test_only_a_bad_release_is_rolled_back(
    own: Assembly, requests: list[tuple[int, Counts]], rolled_back: bool
) -> None:
    """A container runs one request and queues four; to more, a healthy container responds 503 (tests/parity)."""
    assert any(is_raised(alarm, sorted(requests)) for alarm in rollback_alarms(own)) is rolled_back
