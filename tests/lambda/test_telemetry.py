"""What is told of requests, and what never is."""

import json
from typing import Any
from uuid import uuid4

import pytest
from fakes import World, event

from contract import EaselError
from gateway.telemetry import Telemetry

SECRET = "a very private\nprompt \x1b[31m"


class Told:
    """A world whose log and metrics can be read."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        telemetry = Telemetry(service=f"test-{uuid4().hex}", namespace="Test")
        self.world = World()
        self.world.service._telemetry = telemetry
        self.world.jobs._on_end, self.world.jobs._on_accept = telemetry.ended, telemetry.accepted

    def lines(self) -> list[dict[str, Any]]:
        out, err = self._capsys.readouterr()
        assert err == ""
        return [json.loads(line) for line in out.splitlines()]


def metrics(lines: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    found = []
    for line in lines:
        for told in line.get("_aws", {}).get("CloudWatchMetrics", ()):
            assert told["Namespace"] == "Test"
            assert "service" in told["Dimensions"][0]
            dimension = next(name for name in told["Dimensions"][0] if name != "service")
            found += [(metric["Name"], line[dimension]) for metric in told["Metrics"]]
    return found


def test_one_line_a_request_and_one_a_job_without_the_prompt(capsys: pytest.CaptureFixture[str]) -> None:
    told = Told(capsys)
    sent = event("POST", "/generate", {"prompt": SECRET, "negative_prompt": SECRET}, key="the-key-id")
    assert told.world.send(sent)["statusCode"] == 200
    lines = told.lines()
    logged = [line for line in lines if "message" in line]
    assert [line["message"] for line in logged] == ["accepted", "job", "request"]
    accepted, job, request = logged
    assert {"path": "/generate", "status": 200, "request_id": "request-1"}.items() <= request.items()
    assert job["seconds"] == 0.1
    assert job["owner"] == request["owner"]
    assert {line["request_id"] for line in logged} == {"request-1"}
    assert accepted["inference_id"] == job["inference_id"] == told.world.endpoint.submitted[0].inference_id
    assert metrics(lines) == [("JobSeconds", "succeeded"), ("Requests", "200")]
    for word in ("private", "the-key-id"):
        assert word not in json.dumps(lines)


def test_a_poll_that_finds_the_answer_first_tells_of_the_jobs_end(capsys: pytest.CaptureFixture[str]) -> None:
    told = Told(capsys)
    _, accepted = told.world.call("POST", "/jobs", {"prompt": "a"})
    assert [line["message"] for line in told.lines() if "message" in line] == ["accepted", "request"]
    told.world.endpoint.draw_all()
    for lines in (["job", "request"], ["request"]):
        assert told.world.call("GET", f"/jobs/{accepted['id']}")[1]["status"] == "succeeded"
        assert [line["message"] for line in told.lines() if "message" in line] == lines


def test_a_refusal_is_one_line_with_its_code(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    told = Told(capsys)
    told.world.send(event("POST", "/generate", {"prompt": "a", SECRET: 1}))
    lines = told.lines()
    logged = [line for line in lines if "message" in line]
    assert [(line["message"], line["code"]) for line in logged] == [("request", "unknown_field")]
    assert metrics(lines) == [("Requests", "400"), ("Errors", "unknown_field")]
    assert len(caplog.records) == 1, "and nobody else logs it"
    assert "private" not in json.dumps(lines)


def test_a_failed_job_is_counted_by_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    told = Told(capsys)
    world = told.world
    world.clock.while_sleeping = lambda: world.jobs.fail(world.endpoint.submitted[0], EaselError("nan_output", "m"))  # type: ignore[assignment]
    world.send(event("POST", "/generate", {"prompt": "a"}))
    found = metrics(told.lines())
    assert ("JobErrors", "nan_output") in found
    assert ("JobSeconds", "failed") in found


def test_an_unexpected_exception_is_told_by_type_and_place_alone(capsys: pytest.CaptureFixture[str]) -> None:
    told = Told(capsys)

    def crash(key: str) -> None:
        raise ValueError(SECRET)

    told.world.store.before_write = crash
    answer = told.world.send(event("POST", "/generate", {"prompt": SECRET}))
    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (500, "internal")
    lines = told.lines()
    crashed = next(line for line in lines if line.get("message") == "crashed")
    assert crashed["error"] == "ValueError"
    assert any(place.startswith("jobs.py:") for place in crashed["where"])
    assert "private" not in json.dumps(lines) + answer["body"]


def test_what_the_outside_said_is_for_the_log_and_not_for_callers(capsys: pytest.CaptureFixture[str]) -> None:
    told = Told(capsys)
    refusal = EaselError("config_error", "a part of the service may not be used")
    refusal.__cause__ = PermissionError("arn:aws:iam::123456789012:role/x may not")
    told.world.endpoint.refusal = refusal
    answer = told.world.send(event("POST", "/generate", {"prompt": "a"}))
    assert "123456789012" not in answer["body"]
    assert any("123456789012" in line.get("cause", "") for line in told.lines())


def test_what_the_model_said_is_not_even_for_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    told = Told(capsys)

    class ModelError(Exception):
        pass

    refusal = EaselError("model_error", "the model failed")
    refusal.__cause__ = ModelError(SECRET)
    told.world.endpoint.refusal = refusal
    told.world.send(event("POST", "/generate", {"prompt": "a"}))
    assert "private" not in json.dumps(told.lines())


def test_a_dropped_event_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    told = Told(capsys)
    told.world.service._telemetry.dropped("no such job", "id")
    assert [(line["message"], line["reason"]) for line in told.lines()] == [("dropped", "no such job")]
