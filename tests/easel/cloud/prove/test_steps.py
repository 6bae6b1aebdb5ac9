"""Steps of `easel prove` find what is not as documented. tests/deploy/test_prove.py has what is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from easel.client.responses import parse_job
from easel.cloud.doctor.check import Result
from easel.cloud.leftovers.scan import Scan
from easel.cloud.prove.actions import account_steps, api_steps, endpoint_steps, observations
from easel.cloud.prove.releases import MARK
from easel.cloud.prove.run import Run
from easel.cloud.prove.runner import NOT_TRIED
from easel.cloud.prove.service import Reply
from easel.console.errors import CommandError
from tests.easel.cloud.fake_aws import REGION, client_error
from tests.easel.cloud.fake_deployment import log_events
from tests.easel.cloud.prove.fake_run import AWS, NAME, FakeCloud, new_state

ID = "0" * 44
REPORT = "REPORT RequestId: 1 Duration: 5.00 ms\tMemory Size: 512 MB\tMax Memory Used: {} MB\tInit Duration: {} ms"


class FakeService:
    """A deployed service with prepared replies. `replies["GET /path"]`: status and JSON, one for each call."""

    site = ""

    def __init__(self, **more: Any) -> None:
        self.replies: dict[str, Iterator[tuple[int, Any]]] = {}
        self.api = SimpleNamespace(**more)

    def call(self, method: str, path: str, body: Any = None, **_: Any) -> Reply:
        status, content = next(self.replies[f"{method} {path}"])
        return Reply(f"{method} {path}", status, {}, json.dumps(content).encode(), 0.1)


def generated(*warnings: str) -> tuple[int, Any]:
    return 200, {"id": ID, "generated_images": ["aW1hZ2U="], "warnings": [*warnings], "timings": {"total": 1.0}}


def problem(status: int, code: str) -> tuple[int, Any]:
    return status, {"code": code, "detail": "why", "hint": "what to do"}


def job(status: str, code: str = "") -> Any:
    error = {"code": code, "message": "why", "hint": ""} if code else None
    parameters = {"prompt": ["x"], "num_images_per_prompt": 1}
    image = {"url": "/image", "seed": 1, "width": 8, "height": 8, "media_type": "image/png"}
    images = [image] if status == "succeeded" else []
    fields: dict[str, Any] = {"id": ID, "message": "", "progress": None, "timings": {}, "warnings": []}
    return parse_job(
        json.dumps({**fields, "images": images, "status": status, "parameters": parameters, "error": error}).encode()
    )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    cloud = FakeCloud()
    run = Run(new_state(), tmp_path, cloud.account(), sleep=lambda _: None)
    run.cdk = cloud  # type: ignore[assignment]
    run._service = FakeService()  # type: ignore[assignment]
    return run


def reply(run: Run, route: str, *replies: tuple[int, Any]) -> None:
    run.service.replies[route] = iter(replies)  # type: ignore[attr-defined]


def test_new_key_that_is_not_known_yet_is_waited_for(run: Run) -> None:
    reply(run, "GET /health", problem(403, ""), (200, {"endpoint": {"status": "ready"}}))
    assert account_steps.deploy(run)["endpoint"] == "ready"


def test_api_that_responds_without_a_key_is_found(run: Run) -> None:
    reply(run, "POST /generate", generated())
    with pytest.raises(CommandError) as caught:
        api_steps.generate(run)
    assert "401 is expected" in caught.value.why


def test_two_jobs_of_one_idempotency_key_are_found(run: Run) -> None:
    reply(run, "POST /jobs", (202, {"id": "1"}), (202, {"id": "2"}))
    with pytest.raises(CommandError) as caught:
        api_steps.jobs(run)
    assert caught.value.where == "POST /jobs"


@pytest.mark.parametrize(
    ("fault", "where"),
    [
        ({"GET /models": [401, 401, 401]}, "GET /models"),
        ({"POST /jobs": [202, 202]}, "POST /jobs"),
        ({"GET /usage": [200, 200]}, "GET /usage"),
    ],
)
def test_a_key_that_does_not_do_what_it_should_is_found(
    run: Run, monkeypatch: pytest.MonkeyPatch, fault: dict[str, list[int]], where: str
) -> None:
    for name in ("deployed_place", "create", "revoke"):
        monkeypatch.setattr(api_steps, name, lambda *_, **__: "key")
    usage = {"images_reserved": 0, "images_today": 1, "gpu_seconds_this_month": 0.5, "code": "quota_exceeded"}
    healthy = {"GET /models": [200, 200, 200], "POST /jobs": [202, 429], "GET /usage": [200, 401]}
    for route, statuses in {**healthy, **fault}.items():
        reply(run, route, *((status, usage) for status in statuses))
    with pytest.raises(CommandError) as caught:
        api_steps.keys(run)
    assert caught.value.where == where


def test_initial_image_that_comes_back_is_found(run: Run) -> None:
    reply(run, "GET /models", (200, {"models": [{"id": "emoji", "features": ["image_to_image"]}]}))
    reply(run, "POST /generate", generated(), generated())
    with pytest.raises(CommandError):
        api_steps.image_to_image(run)


def test_steps_that_do_not_apply_are_not_tried(run: Run) -> None:
    reply(run, "GET /models", (200, {"models": [{"id": "emoji", "features": []}]}))
    assert NOT_TRIED in api_steps.image_to_image(run)
    assert NOT_TRIED in api_steps.page(run)


@pytest.mark.parametrize(
    ("response", "state", "seen"),
    [
        ((200, {"status": "cancelled"}), "cancelled", "cancelled, then cancelled"),
        (problem(409, "job_finished"), "succeeded", "job_finished, then succeeded"),
    ],
)
def test_a_job_may_end_before_it_is_cancelled(
    run: Run, monkeypatch: pytest.MonkeyPatch, response: tuple[int, Any], state: str, seen: str
) -> None:
    reply(run, "POST /jobs", *[(202, {"id": ID, "urls": {"cancel": "/job"}})] * 2)
    reply(run, "DELETE /job", response)
    ended = iter([job("succeeded"), job(state)])
    monkeypatch.setattr(run, "finish", lambda *_, **__: next(ended))
    assert api_steps._cancel(run) == seen


def test_a_cancel_that_is_refused_otherwise_is_found(run: Run) -> None:
    reply(run, "POST /jobs", *[(202, {"id": ID, "urls": {"cancel": "/job"}})] * 2)
    reply(run, "DELETE /job", problem(409, "conflict"))
    with pytest.raises(CommandError):
        api_steps._cancel(run)


def test_old_release_after_an_update_is_found(run: Run) -> None:
    reply(run, "POST /generate", generated(MARK), generated())
    assert "new release" in endpoint_steps.update(run)["emoji"]
    with pytest.raises(CommandError):
        endpoint_steps.update(run)


# --- several models ------------------------------------------------------------------------------


@pytest.fixture
def several(run: Run) -> Run:
    run.state.model = "emoji,other"
    return run


def requested_models(run: Run, monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Return a list that gets the model of each later request."""
    models: list[str | None] = []
    call = run.service.call

    def note(method: str, path: str, body: Any = None, **more: Any) -> Reply:
        if body is not None:
            models.append(body.get("model"))
        return call(method, path, body, **more)

    monkeypatch.setattr(run.service, "call", note)
    return models


def test_every_model_generates(several: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    models = requested_models(several, monkeypatch)
    reply(several, "POST /generate", problem(401, "unauthorized"), *[generated()] * 3)
    facts = api_steps.generate(several)
    assert (models, "other" in facts) == ([None, None, "other", None], True)
    assert sorted(file.name for file in several.folder.glob("*.png")) == ["generate-other.png", "generate.png"]


def test_an_old_release_of_one_model_is_found(several: Run) -> None:
    reply(several, "POST /generate", generated(MARK), generated())
    with pytest.raises(CommandError) as caught:
        endpoint_steps.update(several)
    assert "other" in caught.value.why


def test_every_model_sleeps_and_wakes(several: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    states = [("ready", "ready"), ("asleep", "ready"), ("asleep", "asleep")]
    healths = [(200, {"models": {id: {"status": s} for id, s in zip("ab", each, strict=True)}}) for each in states]
    reply(several, "GET /health", *healths)
    monkeypatch.setattr(endpoint_steps, "processor", lambda _: "")
    endpoint_steps.sleep(several)
    assert next(several.service.replies["GET /health"], None) is None  # type: ignore[attr-defined]
    sent: list[Any] = []

    def submit(request: Any) -> Any:
        sent.append(request["model"])
        return job("queued")

    several.service.api = SimpleNamespace(submit=submit, job=lambda _: job("succeeded"))  # type: ignore[assignment]
    reply(several, "GET /health", healths[-1])
    reply(several, "POST /generate", generated())
    assert {"image after", "image of other after"} <= endpoint_steps.wake(several).keys()
    assert sent == ["other"]


def test_every_paused_endpoint_must_be_missing(several: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_steps, "EndpointSwitch", lambda *_: SimpleNamespace(pause=lambda: ""))
    ended = iter([job("failed", "endpoint_missing"), job("succeeded")])
    several.service.api = SimpleNamespace(submit=lambda _: job("queued"), job=lambda _: next(ended))  # type: ignore[assignment]
    monkeypatch.setattr(endpoint_steps, "find_endpoint", lambda _: SimpleNamespace(endpoint="e"))
    with pytest.raises(CommandError, match="not missing"):
        endpoint_steps.pause(several)


def let_crowd_end(run: Run, code: str) -> None:
    """Prepare a crowd of which one job fails with `code`."""
    ended = iter([job("failed", code), *[job("succeeded")] * (endpoint_steps.CROWD - 1)])
    reply(run, "POST /jobs", *[(202, {"id": ID})] * endpoint_steps.CROWD)
    run.service.api = SimpleNamespace(job=lambda _: next(ended))  # type: ignore[assignment]


def test_crowd_may_be_refused_as_busy_only(run: Run) -> None:
    let_crowd_end(run, "model_busy")
    assert endpoint_steps.crowd(run) == {"model_busy": "1", "succeeded": str(endpoint_steps.CROWD - 1)}
    let_crowd_end(run, "model_timeout")
    with pytest.raises(CommandError) as caught:
        endpoint_steps.crowd(run)
    assert "model_timeout" in caught.value.why


def test_failing_release_that_stays_is_found(run: Run) -> None:
    reply(run, "POST /generate", problem(500, "model_error"))
    with pytest.raises(CommandError, match="A release that fails was deployed"):
        endpoint_steps.rollback(run)


def test_job_of_a_paused_endpoint_must_say_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_steps, "EndpointSwitch", lambda *_: SimpleNamespace(pause=lambda: ""))
    ended = iter([job("failed", "endpoint_missing"), job("failed", "model_error")])
    run.service.api = SimpleNamespace(submit=lambda _: job("queued"), job=lambda _: next(ended))  # type: ignore[assignment]
    monkeypatch.setattr(endpoint_steps, "find_endpoint", lambda _: SimpleNamespace(endpoint="e"))
    AWS.responses["application-autoscaling.DescribeScalableTargets"] = {"ScalableTargets": []}
    assert endpoint_steps.pause(run) == {"job": "endpoint_missing", "autoscaling": "forgotten"}
    with pytest.raises(CommandError):
        endpoint_steps.pause(run)


def test_reports_of_functions_are_read(run: Run) -> None:
    group = {"LogicalResourceId": "Log", "PhysicalResourceId": "group", "ResourceType": account_steps.LOG_GROUP}
    summary = {**group, "ResourceStatus": "CREATE_COMPLETE", "LastUpdatedTimestamp": 0}
    lines = log_events(REPORT.format(90, "812.50"), "REPORT without a start", REPORT.format(120, "99.00"))
    AWS.responses["cloudformation.ListStackResources"] = {"StackResourceSummaries": [summary]}
    AWS.responses["logs.FilterLogEvents"] = lines
    assert account_steps._function_reports(run) == {"functions": "slowest start 812 ms, most memory 120 MB"}


def test_names_of_roles_are_compared_with_their_stacks(run: Run) -> None:
    run.cdk.deployed = "async"  # type: ignore[attr-defined]
    about = {"LogicalResourceId": "Role", "ResourceType": observations.ROLE, "ResourceStatus": "CREATE_COMPLETE"}
    names = (f"{NAME.model}-Role-1", f"{NAME.model[:-1]}-Role-2")
    summaries = [{**about, "PhysicalResourceId": name, "LastUpdatedTimestamp": 0} for name in names]
    AWS.responses["cloudformation.ListStackResources"] = {"StackResourceSummaries": summaries}
    assert observations.role_names(run) == "1 of 2 begin with the stack's whole name"


def test_trace_of_the_newest_job_is_read_where_tracing_is_on(run: Run) -> None:
    assert observations.seen("trace", lambda: observations.trace(run)) == {}
    run.state.context.append("tracing=on")
    reply(run, "GET /jobs", (200, {"jobs": [{"id": ID}, {"id": "1" * 44}]}))
    services = [{"Name": "easel-api", "Type": "AWS::Lambda"}, {"Name": "SageMaker", "Type": "AWS::SageMaker"}]
    AWS.responses["xray.GetTraceSummaries"] = lambda request: {
        "TraceSummaries": [{"ServiceIds": services}] if ID in request["FilterExpression"] else []
    }
    assert observations.trace(run) == "SageMaker, easel-api"


def test_limits_of_the_gateway_are_facts(run: Run) -> None:
    reply(run, "POST /generate", problem(413, ""))
    assert observations.large_body(run) == "413"
    reply(run, "GET /models", *[(200, {})] * 25, *[problem(429, "")] * (observations.BURST - 25))
    assert observations.burst(run) == "25 x 200, 15 x 429"


@pytest.mark.parametrize(
    ("origin", "url", "seen"),
    [
        ("https://site", f"https://b.s3.{REGION}.amazonaws.com/x", "200 from a host of the region, allowed by CORS"),
        ("https://other", "https://b.s3.amazonaws.com/x", "200 from a host without the region, refused by CORS"),
    ],
)
def test_links_of_images_are_tried_as_the_page_does(run: Run, origin: str, url: str, seen: str) -> None:
    headers = {"access-control-allow-origin": origin}
    run.service.site = "https://site"
    run.service.fetch = lambda *_: Reply("", 200, headers, b"", 0)  # type: ignore[method-assign]
    assert observations.image_for_the_page(run, url) == seen


def test_use_of_the_processor_is_a_fact_or_the_reason_why_not(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observations, "find_endpoint", lambda _: SimpleNamespace(endpoint="e"))
    AWS.responses["cloudwatch.GetMetricStatistics"] = {"Datapoints": [{"Average": value} for value in (80, 2.04, 9)]}
    assert observations.processor(run) == "2.0 to 80.0 % of a core"
    AWS.responses["cloudwatch.GetMetricStatistics"] = client_error("AccessDenied", "not allowed")
    facts = observations.seen("processor", lambda: observations.processor(run))
    assert "not allowed" in facts["processor"]


def test_running_deploy_is_looked_at(run: Run) -> None:
    run.cdk.states += ["CREATE_COMPLETE", "CREATE_IN_PROGRESS"]  # type: ignore[attr-defined]
    AWS.responses["cloudformation.ListStackResources"] = {"StackResourceSummaries": []}
    run.deploy("async")
    assert run.in_progress == f"{NAME.model} is CREATE_IN_PROGRESS."


def test_what_is_left_is_named_with_the_command_that_shows_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud()
    cloud.deployed = "async"
    run.state.exists = True
    monkeypatch.setattr(account_steps, "scan", cloud.scan)
    monkeypatch.setattr(account_steps, "GONE_MINUTES", 0)
    with pytest.raises(CommandError) as caught:
        account_steps.leftovers(run)
    assert NAME.model in caught.value.why
    assert f"easel leftovers --name {NAME.name}" in caught.value.fix
    assert run.state.exists
    monkeypatch.setattr(account_steps, "scan", lambda *_: Scan([], ["us-east-1: sns: not allowed"]))
    with pytest.raises(CommandError):
        account_steps.leftovers(run)


def test_failed_check_of_the_doctor_stops_the_run_with_its_remedy(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    unchecked = [Result("unknown", "not checked", code="region") for _ in range(2)]  # two models
    results = [Result("ok", "fine", code="node"), *unchecked]
    monkeypatch.setattr(account_steps, "Doctor", lambda *_: SimpleNamespace(results=lambda _: iter(results)))
    assert account_steps.doctor(run) == {"ok": "1", "unknown": "region"}
    results.append(Result("failed", "no page", "make page", code="page"))
    with pytest.raises(CommandError) as caught:
        account_steps.doctor(run)
    assert (caught.value.why, caught.value.fix) == ("page: no page", "page: make page")
