"""What is logged and counted, and what never is."""

import json
from typing import Any
from uuid import uuid4

import pytest
from fakes import World, event

from contract import EaselError
from gateway.telemetry import Telemetry

SECRET = "a very private\nprompt \x1b[31m"


class LoggedWorld(World):
    """A world whose log and metrics can be read."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        super().__init__(telemetry=Telemetry(service=f"test-{uuid4().hex}", namespace="Test"))

    def lines(self) -> list[dict[str, Any]]:
        out, err = self._capsys.readouterr()
        assert err == ""
        return [json.loads(line) for line in out.splitlines()]

    def messages(self) -> list[str]:
        return [line["message"] for line in self.lines() if "message" in line]


def metrics(lines: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    found = []
    for line in lines:
        for group in line.get("_aws", {}).get("CloudWatchMetrics", ()):
            assert group["Namespace"] == "Test"
            assert "service" in group["Dimensions"][0]
            dimension = next(name for name in group["Dimensions"][0] if name != "service")
            found += [(metric["Name"], line[dimension]) for metric in group["Metrics"]]
    return found


def test_a_request_and_its_job_are_logged_without_the_prompt(capsys: pytest.CaptureFixture[str]) -> None:
    world = LoggedWorld(capsys)
    sent = event("POST", "/generate", {"prompt": SECRET, "negative_prompt": SECRET}, key="the-key-id")
    assert world.send(sent)["statusCode"] == 200
    lines = world.lines()
    logged = [line for line in lines if "message" in line]
    assert [line["message"] for line in logged] == ["accepted", "job", "request"]
    accepted, job, request = logged
    assert {"path": "/generate", "status": 200, "request_id": "request-1"}.items() <= request.items()
    assert job["seconds"] == 0.1
    assert job["owner"] == request["owner"]
    assert {line["request_id"] for line in logged} == {"request-1"}
    assert accepted["inference_id"] == job["inference_id"] == world.endpoint.submitted[0].inference_id
    assert metrics(lines) == [("JobSeconds", "succeeded"), ("Requests", "200")]
    for word in ("private", "the-key-id"):
        assert word not in json.dumps(lines)


def test_a_poll_that_finds_the_output_first_logs_the_end_of_the_job_once(capsys: pytest.CaptureFixture[str]) -> None:
    world = LoggedWorld(capsys)
    _, accepted = world.call("POST", "/jobs", {"prompt": "a"})
    assert world.messages() == ["accepted", "request"]
    world.endpoint.generate_all()
    for messages in (["job", "request"], ["request"]):
        assert world.call("GET", f"/jobs/{accepted['id']}")[1]["status"] == "succeeded"
        assert world.messages() == messages


def test_an_invalid_request_is_logged_in_one_line_with_its_code(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    world = LoggedWorld(capsys)
    world.send(event("POST", "/generate", {"prompt": "a", SECRET: 1}))
    lines = world.lines()
    logged = [line for line in lines if "message" in line]
    assert [(line["message"], line["code"]) for line in logged] == [("request", "unknown_field")]
    assert metrics(lines) == [("Requests", "400"), ("Errors", "unknown_field")]
    assert len(caplog.records) == 1, "no other logger logs it"
    assert "private" not in json.dumps(lines)


def test_a_failed_job_is_counted_by_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    world = LoggedWorld(capsys)

    def fail() -> None:
        world.reporter.fail(world.endpoint.submitted[0], EaselError("nan_output", "m"))

    world.clock.while_sleeping = fail
    world.send(event("POST", "/generate", {"prompt": "a"}))
    found = metrics(world.lines())
    assert ("JobErrors", "nan_output") in found
    assert ("JobSeconds", "failed") in found


def test_an_unexpected_exception_is_logged_by_type_and_traceback_only(capsys: pytest.CaptureFixture[str]) -> None:
    world = LoggedWorld(capsys)

    def crash(key: str) -> None:
        raise ValueError(SECRET)

    world.store.before_write = crash
    response = world.send(event("POST", "/generate", {"prompt": SECRET}))
    assert (response["statusCode"], json.loads(response["body"])["code"]) == (500, "internal")
    lines = world.lines()
    crashed = next(line for line in lines if line.get("message") == "crashed")
    assert crashed["error"] == "ValueError"
    assert any(frame.startswith("lifecycle.py:") for frame in crashed["where"])
    assert "private" not in json.dumps(lines) + response["body"]


def test_the_text_of_aws_is_logged_and_not_sent_to_callers(capsys: pytest.CaptureFixture[str]) -> None:
    world = LoggedWorld(capsys)
    error = EaselError("config_error", "access denied")
    error.__cause__ = PermissionError("arn:aws:iam::123456789012:role/x may not")
    world.endpoint.error = error
    response = world.send(event("POST", "/generate", {"prompt": "a"}))
    assert "123456789012" not in response["body"]
    assert any("123456789012" in line.get("cause", "") for line in world.lines())


def test_the_text_of_the_model_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    world = LoggedWorld(capsys)

    class ModelError(Exception):
        pass

    error = EaselError("model_error", "the model failed")
    error.__cause__ = ModelError(SECRET)
    world.endpoint.error = error
    world.send(event("POST", "/generate", {"prompt": "a"}))
    assert "private" not in json.dumps(world.lines())


def test_an_ignored_event_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    world = LoggedWorld(capsys)
    world.telemetry.ignored("no such job", "id")  # type: ignore[union-attr]
    assert [(line["message"], line["reason"]) for line in world.lines()] == [("ignored", "no such job")]
