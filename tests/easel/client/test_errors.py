"""Errors of the API and of the network: exit codes, and the parts of the message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import Result

from contract import ERRORS
from tests.deploy.emulator.ports import free_port
from tests.easel.client.fake_api import ID, FakeApi, job

Api = type[FakeApi]
Generate = Callable[..., Result]


def parts(done: Result) -> dict[str, str]:
    """Return the parts of an error message: Error:, where, why, fix."""
    lines = [line.split(None, 1) for line in done.stderr.splitlines()]
    start = next(i for i, line in enumerate(lines) if line[0] == "Error:")
    return {name: text.strip() for name, text in lines[start:]}


def problem(status: int, **fields: Any) -> tuple[int, dict[str, Any]]:
    body = {"title": "Title", "status": status, "retryable": False, "detail": "detail", "hint": "hint"}
    return status, {**body, **fields}


def test_the_parts_of_an_error(api: Api, run_generate: Generate) -> None:
    api.submitted = problem(400, code="not_multiple_of_8", invalid_params=[{"name": "width"}])
    done = run_generate("--url", api.url)
    assert done.stderr.splitlines() == [
        "Error: Title",
        f"  where POST {api.url}/jobs · width",
        "  why   detail",
        "  fix   hint",
    ]
    assert (done.exit_code, done.stdout) == (2, "")


@pytest.mark.parametrize(
    ("response", "code", "why", "fix"),
    [
        ((403, {"message": "Forbidden"}), 3, "Forbidden", "easel outputs --export"),
        (problem(401, code="unauthorized"), 3, "detail", "easel outputs --export"),
        (problem(500), 1, "detail", "hint"),
        ((200, ["no job"]), 3, "", "--url"),
        ((201, {"id": 101}), 3, "", "--url"),
        ((405, {}), 2, "Method Not Allowed", "--url"),
    ],
    ids=["gateway", "key", "internal", "no object", "no job", "no API"],
)
def test_errors_of_a_submission(
    api: Api, run_generate: Generate, response: tuple[int, Any], code: int, why: str, fix: str
) -> None:
    api.submitted = response
    done = run_generate("--url", api.url)
    assert (done.exit_code, done.stdout) == (code, "")
    assert api.url in parts(done)["where"]
    assert why in parts(done)["why"]
    assert fix in parts(done)["fix"]


def test_a_failed_job(api: Api, run_generate: Generate) -> None:
    api.jobs[:] = [job("failed", error={"code": "blank_output", "message": "all black", "hint": "Another seed."})]
    done = run_generate("--url", api.url)
    assert done.exit_code == 1
    assert parts(done) == {
        "Error:": ERRORS["blank_output"].title, "where": f"job {ID}", "why": "all black", "fix": "Another seed.",
    }  # fmt: skip


def test_the_message_names_a_job_that_continues(api: Api, run_generate: Generate) -> None:
    api.do_GET = lambda self: self.respond(*problem(401))  # type: ignore[method-assign]
    done = run_generate("--url", api.url)
    assert done.exit_code == 3
    assert f"{api.url}/jobs/{ID}" in done.stderr.splitlines()[1]
    assert parts(done)["Error:"] == "Title"


def test_no_service_at_the_url(run_generate: Generate) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = run_generate("--url", url)
    assert done.exit_code == 3
    assert parts(done)["where"] == url
    assert "make up" in parts(done)["fix"]
    assert "--url" in parts(done)["fix"]


def test_an_invalid_proxy(run_generate: Generate) -> None:
    done = run_generate("--url", "https://easel.example", ALL_PROXY="socks9://127.0.0.1:1")
    assert done.exit_code == 3
    assert "ALL_PROXY" in parts(done)["where"]


def test_a_url_with_a_password_is_refused_without_showing_it(run_generate: Callable[..., Result]) -> None:
    done = run_generate("--url", "http://me:hunter2@127.0.0.1:1/")
    assert done.exit_code == 2
    assert "hunter2" not in done.output
