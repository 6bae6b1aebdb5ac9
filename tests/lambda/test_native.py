"""The native API on fakes: every route and every error."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import jsonschema_rs
import pytest
from fakes import MAGIC, PROFILE, ROOT, World, event

import contract
from contract import EaselError, Preset
from jobs.lifecycle import SUBMIT_GRACE_S
from jobs.ports import EndpointState, Progress, Ticket
from routes.generations import MAX_INLINE_BYTES
from routes.job_views import JOBS_LIMIT
from routes.native import NativeApi
from routes.openapi import EXAMPLE, document

APPLE = {"prompt": "a red apple", "seed": 7}
MISSING = "0" * 44


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def slow() -> World:
    """A world whose endpoint generates nothing until a test says so."""
    world = World()
    world.clock.while_sleeping = lambda: None
    return world


def golden(name: str) -> Any:
    return [pytest.param(case, id=case["name"]) for case in json.loads((ROOT / f"examples/{name}.json").read_text())]


def check_schema(view: str, body: Any) -> None:
    """Check a body against its schema in the OpenAPI document."""
    schema = {"$ref": f"#/components/schemas/{view}", "components": document((PROFILE,))["components"]}
    jsonschema_rs.Draft202012Validator(schema).validate(body)


def problem(response: dict[str, Any], status: int, code: str) -> Any:
    """Return the problem document of a response, after checking all of it."""
    body, headers = json.loads(response["body"]), response["headers"]
    check_schema("Problem", body)
    assert headers["content-type"] == "application/problem+json"
    assert (response["statusCode"], body["status"], body["code"], body["error"]["code"]) == (status, status, code, code)
    assert body["title"] == contract.ERRORS[code].title
    assert body["request_id"] == headers["x-request-id"]
    assert body["error"]["message"] == body["detail"]
    assert (headers.get("x-should-retry") == "false") != body["retryable"]
    assert headers.get("retry-after") == (str(body["retry_after_s"]) if body["retryable"] else None)
    return body


# --- successes -----------------------------------------------------------------------------------


def test_the_example_gives_two_images(world: World) -> None:
    status, body = world.call("POST", "/generate", EXAMPLE)
    check_schema("Generated", body)
    assert status == 200
    files = [base64.b64decode(image) for image in body["generated_images"]]
    assert files == [MAGIC["png"] + bytes([i]) for i in range(2)]
    assert body["seeds"] == [image["seed"] for image in body["images"]]
    assert body["seeds"][1] - body["seeds"][0] in (1, 1 - 2**32)
    assert body["parameters"]["prompt"] == EXAMPLE["prompt"]
    assert body["timings"] == {"generate_s": 1.0, "job_s": 0.1}
    folder = f"jobs/{world.endpoint.submitted[0].owner}/{body['id']}"
    assert body["images"][0] == {
        "url": f"https://files.example/{folder}/image-0.png?seconds=900",
        "seed": body["seeds"][0],
        "width": 512,
        "height": 512,
        "media_type": "image/png",
        "flagged": False,
        "flagged_reason": None,
    }


@pytest.mark.parametrize("case", golden("accepted"))
def test_accepted_messages_reach_the_endpoint_with_all_defaults(world: World, case: Any) -> None:
    status, _ = world.call("POST", "/generate", case["body"])
    assert status == 200
    request = json.loads(world.store.objects[world.endpoint.submitted[0].key("request.json")])
    assert request == {"deadline_ms": 60_000, **case["request"], "seed": case["body"].get("seed") or request["seed"]}


def test_a_request_without_a_seed_gets_a_random_one(world: World) -> None:
    seeds = {world.call("POST", "/generate", {"prompt": "a"})[1]["seeds"][0] for _ in range(5)}
    assert len(seeds) == 5


def test_a_request_that_takes_longer_becomes_a_job(slow: World) -> None:
    response = slow.send(event("POST", "/generate", APPLE))
    body = json.loads(response["body"])
    check_schema("Job", body)
    assert response["statusCode"] == 202
    assert slow.clock.time == pytest.approx(1_800_000_025)
    assert response["headers"]["location"] == f"jobs/{body['id']}"
    assert body["urls"] == {"get": f"/jobs/{body['id']}", "cancel": f"/jobs/{body['id']}"}
    assert (body["status"], body["seeds"], body["images"], body["error"]) == ("queued", [7], [], None)
    assert (body["completed_at"], body["started_at"], body["progress"]) == (None, None, None)
    assert datetime.fromisoformat(body["created_at"]) == datetime.fromtimestamp(1_800_000_000, UTC)
    assert body["parameters"]["num_inference_steps"] == PROFILE.steps


def test_the_wait_counts_from_the_arrival_of_the_event(slow: World) -> None:
    submit = slow.endpoint.submit

    def slow_submit(ticket: Ticket) -> Any:
        slow.clock.time += 10
        return submit(ticket)

    slow.endpoint.submit = slow_submit  # type: ignore[method-assign]
    slow.call("POST", "/generate", APPLE)
    assert slow.clock.time == pytest.approx(1_800_000_025)


@pytest.mark.parametrize(
    ("cold_start_s", "remaining_s", "expected_s"),
    [
        (0, 28, 25),  # warm
        (6, 28, 19),  # Lambda's limit begins after the start, the gateway's before it
        (12, 16, 13),  # Lambda started the function again, within its limit
        (27, 28, 0),
        (0, 2, 0),
        (90, 28, 25),  # a replayed event: nobody waits at a gateway
        (-3, 28, 25),  # clocks differ
    ],
)
def test_the_wait_leaves_time_to_respond_after_a_cold_start(
    slow: World, cold_start_s: float, remaining_s: float, expected_s: float
) -> None:
    sent, began = event("POST", "/generate", APPLE), slow.clock.time
    sent["requestContext"]["requestTimeEpoch"] = round(1000 * (began - cold_start_s))
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: round(1000 * remaining_s))
    assert slow.service(sent, context)["statusCode"] == 202
    assert slow.clock.time - began == pytest.approx(expected_s)


def test_submit_does_not_wait(world: World) -> None:
    status, body = world.call("POST", "/jobs", APPLE)
    assert (status, body["status"]) == (202, "queued")
    assert world.clock.time == 1_800_000_000


def test_a_job_shows_progress_and_result(slow: World) -> None:
    path = f"/jobs/{slow.call('POST', '/jobs', APPLE)[1]['id']}"
    slow.endpoint.known_progress = Progress(3, 20, "/9j/")
    _, body = slow.call("GET", path)
    assert (body["status"], body["progress"]) == ("running", {"step": 3, "steps": 20, "preview": "/9j/"})
    slow.endpoint.generate_all()
    status, body = slow.call("GET", path)
    check_schema("Job", body)
    assert (status, body["status"], body["progress"]) == (200, "succeeded", None)
    assert body["completed_at"]
    assert len(body["images"]) == 1


def test_a_started_job_is_running(slow: World) -> None:
    slow.endpoint.reports_start = True
    id = slow.call("POST", "/jobs", APPLE)[1]["id"]
    slow.reporter.start(slow.endpoint.submitted[0])
    _, body = slow.call("GET", f"/jobs/{id}")
    assert body["status"] == "running"
    assert body["started_at"]


@pytest.mark.parametrize(
    ("state", "reports_start", "message"),
    [
        (EndpointState("asleep", "", (4, 10)), False, "starting for this job; that usually takes 4 to 10 minutes"),
        (EndpointState("starting", "Loading."), True, "Loading."),
        (EndpointState("broken"), True, "The model is broken."),
        (EndpointState("ready"), True, "The job is waiting."),
        (
            EndpointState("ready", busy_seconds=9),
            True,
            "The job is waiting. All jobs that wait or run take about 9 s together.",
        ),
        (EndpointState("ready"), False, "The job is waiting or running."),
    ],
)
def test_a_waiting_job_explains_why(slow: World, state: EndpointState, reports_start: bool, message: str) -> None:
    slow.endpoint.known_state, slow.endpoint.reports_start = state, reports_start
    assert message in slow.call("POST", "/jobs", APPLE)[1]["message"]
    assert message in slow.call("GET", "/jobs")[1]["jobs"][0]["message"]


def test_an_unknown_state_of_the_endpoint_is_no_error(slow: World) -> None:
    def state() -> EndpointState:
        raise EaselError("config_error", "not allowed")

    slow.endpoint.state = state  # type: ignore[method-assign]
    assert slow.call("POST", "/jobs", APPLE)[0] == 202
    status, body = slow.call("GET", "/health")
    assert (status, body["status"], body["endpoint"]["status"]) == (200, "degraded", "unknown")


def test_recent_jobs_are_sorted_newest_first(slow: World) -> None:
    created = []
    for seed in range(30):
        created.append(slow.call("POST", "/jobs", {"prompt": "a", "seed": seed})[1]["id"])
        slow.clock.time += 1
    _, body = slow.call("GET", "/jobs")
    check_schema("Jobs", body)
    assert [job["id"] for job in body["jobs"]] == created[: -JOBS_LIMIT.maximum // 2 - 1 : -1]
    _, body = slow.call("GET", "/jobs", query={"limit": "2"})
    assert [job["seeds"] for job in body["jobs"]] == [[29], [28]]


@pytest.mark.parametrize("limit", ["0", "41", "-1", "+1", "1.0", "abc", "", "1 ", "٣", "9" * 5000])
def test_an_invalid_limit(world: World, limit: str) -> None:
    body = problem(world.send(event("GET", "/jobs", query={"limit": limit})), 400, "out_of_range")
    assert body["invalid_params"][0]["name"] == "limit"


def test_two_limits_are_an_error(world: World) -> None:
    sent = event("GET", "/jobs")
    sent["multiValueQueryStringParameters"] = {"limit": ["1", "2"]}
    problem(world.send(sent), 400, "out_of_range")


def test_the_longest_jobs_fit_into_one_response(slow: World) -> None:
    longest = {
        "prompt": ["\u732b" * 2000] * 8,
        "negative_prompt": "\u732b" * 2000,
        "seed": 7,
        "width": 64,
        "height": 64,
    }
    for _ in range(JOBS_LIMIT.maximum):
        slow.clock.time += 1
        status, _ = slow.call("POST", "/jobs", json.dumps(longest, ensure_ascii=False))
        assert status == 202
    slow.endpoint.generate_all()
    status, body = slow.call("GET", "/jobs", query={"limit": str(JOBS_LIMIT.maximum)})
    assert (status, len(body["jobs"])) == (200, JOBS_LIMIT.maximum)


def test_models_describe_what_a_request_can_contain(world: World) -> None:
    status, body = world.call("GET", "/models")
    check_schema("Models", body)
    model = body["models"][0]
    assert (model["licence"], model["licence_url"]) == ("MIT", "https://example.org/licence")
    assert status == 200
    assert model["sizes"][0] == {"width": 512, "height": 512}
    assert model["bounds"]["width"] == {"minimum": 64, "maximum": 768}
    assert model["defaults"]["num_inference_steps"] == 20
    assert model["schedulers"] == list(PROFILE.schedulers)
    assert (model["formats"], model["suggestions"]) == (["png", "webp", "jpeg"], ["a red apple"])
    assert (model["subjects"], model["subjects_in"]) == (["apple", "pear"], {"zh-CN": ["苹果", "梨"]})
    minimal = {"prompt": "a", "init_image": IMG2IMG["init_image"]}
    default = contract.parse_request(json.dumps(minimal), PROFILE)
    hires = contract.parse_request('{"prompt": "a", "width": 64, "height": 64, "hires": {}}', PROFILE).hires
    second_pass = model["defaults"].pop("hires")
    assert second_pass == {name: getattr(hires, name) for name in second_pass}
    assert model["defaults"] == {name: getattr(default, name) for name in model["defaults"]}


MIXED = replace(PROFILE, schedulers=("ddim", "lcm"), scheduler="ddim", max_pixel_steps=10**12)
STEPS = [MIXED, replace(MIXED, scheduler="lcm"), replace(MIXED, max_steps=30, steps=20)]


@pytest.mark.parametrize("profile", STEPS, ids=["mixed", "lcm is the default", "the model allows less"])
@pytest.mark.parametrize("scheduler", ["ddim", "lcm", None])
def test_the_advertised_steps_are_accepted_and_one_more_is_not(
    profile: contract.ModelProfile, scheduler: str | None
) -> None:
    world = World(profile)
    bounds = world.call("GET", "/models")[1]["models"][0]["bounds"]
    bound = bounds["scheduler_steps"][scheduler] if scheduler else bounds["num_inference_steps"]
    schema = jsonschema_rs.Draft202012Validator(document((profile,))["components"]["schemas"]["GenerationRequest"])
    for steps in (bound["minimum"] - 1, bound["minimum"], bound["maximum"], bound["maximum"] + 1):
        body = {"prompt": "a", "scheduler": scheduler, "num_inference_steps": steps}
        response = world.send(event("POST", "/jobs", body))
        accepted = bound["minimum"] <= steps <= bound["maximum"]
        assert schema.is_valid(body) == accepted
        if accepted:
            assert response["statusCode"] == 202
        else:
            assert str(bound["maximum"]) in problem(response, 400, "out_of_range")["hint"]


def test_models_list_optional_features(world: World, slow: World) -> None:
    assert world.call("GET", "/models")[1]["models"][0]["features"] == [
        "image_to_image", "inpaint", "embed_parameters", "webhooks", "weighted_prompts", "clip_skip", "hires"
    ]  # fmt: skip
    other = World(replace(PROFILE, image_to_image=False, clip_layers=None), rules=None)
    other.endpoint.has_previews = other.endpoint.stops_jobs = True
    features = ["embed_parameters", "preview", "cancel_running"]
    assert other.call("GET", "/models")[1]["models"][0]["features"] == features


# --- init_image ----------------------------------------------------------------------------------

IMG2IMG = next(
    case["body"]
    for case in json.loads((ROOT / "examples/accepted.json").read_text())
    if "strength" in case["request"] and "strength" not in case["body"]
)


def test_the_init_image_reaches_the_container_and_no_response(world: World) -> None:
    status, body = world.call("POST", "/generate", IMG2IMG)
    ticket = world.endpoint.submitted[0]
    assert (status, world.endpoint.request(ticket).init_image) == (200, IMG2IMG["init_image"])
    job, recent = (world.call("GET", path)[1] for path in (f"/jobs/{body['id']}", "/jobs"))
    assert IMG2IMG["init_image"] not in json.dumps([job, recent])
    assert len(world.store.objects[ticket.key("job.json")]) < 1000


def test_a_waiting_job_shows_the_hash_of_its_init_image(slow: World) -> None:
    _, body = slow.call("POST", "/jobs", IMG2IMG)
    hashed = sha256(base64.b64decode(IMG2IMG["init_image"])).hexdigest()
    assert (body["parameters"]["init_image"], body["parameters"]["strength"]) == (f"sha256:{hashed}", 0.8)


def test_a_job_whose_creator_died_is_submitted_with_its_init_image(slow: World) -> None:
    id = slow.call("POST", "/jobs", IMG2IMG)[1]["id"]
    slow.lose_submission()
    slow.call("GET", f"/jobs/{id}")
    assert slow.endpoint.request(slow.endpoint.submitted[0]).init_image == IMG2IMG["init_image"]


def test_a_cancelled_job_keeps_no_init_image(slow: World) -> None:
    slow.call("DELETE", f"/jobs/{slow.call('POST', '/jobs', IMG2IMG)[1]['id']}")
    assert [key for key in slow.store.objects if key.endswith(("request.json", "init-image"))] == []


def test_another_strength_is_another_request(world: World) -> None:
    headers = {"Idempotency-Key": "click-1"}
    first = world.call("POST", "/jobs", IMG2IMG, headers=headers)[1]
    assert world.call("POST", "/jobs", IMG2IMG, headers=headers)[1]["id"] == first["id"]
    other = {**IMG2IMG, "strength": 0.7}
    problem(world.send(event("POST", "/jobs", other, headers=headers)), 409, "idempotency_mismatch")


@pytest.mark.parametrize(("state", "health"), [("ready", "ok"), ("asleep", "ok"), ("broken", "degraded")])
def test_health(world: World, state: str, health: str) -> None:
    world.endpoint.known_state = EndpointState(state, "a word")
    status, body = world.call("GET", "/health")
    check_schema("Health", body)
    assert (status, body["status"], body["endpoint"]) == (
        200,
        health,
        {"status": state, "detail": "a word", "wake_minutes": None, "usd_per_hour": None},
    )


def test_health_has_the_price_of_an_instance() -> None:
    body = World(usd_per_hour=0.7364).call("GET", "/health")[1]
    check_schema("Health", body)
    assert body["endpoint"]["usd_per_hour"] == 0.7364


def test_the_presets_of_a_model_are_fields_of_a_request() -> None:
    quick, photo = (
        Preset(name="Quick", name_zh="快速", steps=4),
        Preset(name="Photo", size=(768, 512), scheduler="euler"),
    )
    models = World(replace(PROFILE, presets=(quick, photo))).call("GET", "/models")[1]
    check_schema("Models", models)
    first, second = models["models"][0]["presets"]
    unset = dict.fromkeys(("width", "height", "guidance_scale", "scheduler", "negative_prompt"))
    assert first == unset | {"name": "Quick", "name_in": {"zh-CN": "快速"}, "num_inference_steps": 4}
    assert second["name_in"] == {"zh-CN": "Photo"}
    assert (second["width"], second["height"], second["scheduler"]) == (768, 512, "euler")


# --- idempotency ---------------------------------------------------------------------------------


def test_the_same_key_returns_the_same_job(world: World) -> None:
    headers = {"Idempotency-Key": "click-1"}
    first = world.call("POST", "/generate", {"prompt": "a"}, headers=headers)
    again = world.call("POST", "/generate", '{ "prompt":"a" }', headers=headers)
    job = world.call("POST", "/jobs", {"prompt": "a"}, headers=headers)
    assert first == again
    assert job[1]["id"] == first[1]["id"]
    assert len(world.endpoint.submitted) == 1


def test_a_key_for_two_requests_is_an_error(world: World) -> None:
    headers = {"idempotency-key": "click-1"}
    world.call("POST", "/generate", {"prompt": "a"}, headers=headers)
    problem(world.send(event("POST", "/generate", {"prompt": "b"}, headers=headers)), 409, "idempotency_mismatch")
    assert world.call("POST", "/generate", {"prompt": "b"}, headers=headers, key="another")[0] == 200


def test_equal_requests_without_a_key_are_two_jobs(world: World) -> None:
    ids = {world.call("POST", "/generate", APPLE)[1]["id"] for _ in range(2)}
    assert len(ids) == 2


@pytest.mark.parametrize("key", ["", " ", "a" * 256, "é", "a\nb", " a"])
def test_an_invalid_key(world: World, key: str) -> None:
    body = problem(world.send(event("POST", "/jobs", APPLE, headers={"Idempotency-Key": key})), 400, "bad_header")
    assert body["invalid_params"][0]["name"] == "idempotency-key"
    assert world.endpoint.submitted == []


def test_two_keys_are_an_error(world: World) -> None:
    sent = event("POST", "/jobs", APPLE)
    sent["multiValueHeaders"]["Idempotency-Key"] = ["a", "b"]
    problem(world.send(sent), 400, "bad_header")


# --- invalid requests ----------------------------------------------------------------------------


@pytest.mark.parametrize("case", golden("rejected"))
@pytest.mark.parametrize("path", ["/generate", "/jobs"])
def test_rejected_messages_never_reach_the_endpoint(world: World, case: Any, path: str) -> None:
    body = problem(world.send(event("POST", path, case["body"])), 400, case["code"])
    assert [param["name"] for param in body["invalid_params"]] == ([case["param"]] if case["param"] else [])
    assert body["error"]["param"] == case["param"]
    assert world.store.objects == {}


BODIES = [
    ("null body", None, "invalid_json"),
    ("a number", "7", "expected_object"),
    ("deep nesting", "[" * 60_000, "invalid_json"),
    ("5,000 digits", '{"prompt": "a", "seed": ' + "9" * 5000 + "}", "invalid_json"),
    ("true for steps", '{"prompt": "a", "num_inference_steps": true}', "wrong_type"),
    ("20.0 for steps", '{"prompt": "a", "num_inference_steps": 20.0}', "wrong_type"),
    ("callback", '{"prompt": "a", "callback": "x"}', "unknown_field"),
    ("2,001 characters", json.dumps({"prompt": "a" * 2001}), "out_of_range"),
    ("unpaired surrogate", '{"prompt": "\\ud800"}', "bad_text"),
    ("unpaired surrogate in a name", '{"prompt": "a", "\\ud800": 1}', "unknown_field"),
    ("width 511", '{"prompt": "a", "width": 511}', "not_multiple_of_8"),
    ("width 10^9", '{"prompt": "a", "width": 1000000000}', "out_of_range"),
    ("over max_pixel_steps", '{"prompt": "a", "num_inference_steps": 150}', "job_too_large"),
    ("no steps", '{"prompt": "a", "num_inference_steps": 0}', "out_of_range"),
    ("seed 2^32", '{"prompt": "a", "seed": 4294967296}', "out_of_range"),
    ("a path for a scheduler", '{"prompt": "a", "scheduler": "../x"}', "unknown_value"),
    ("a URL", '{"prompt": "a", "scheduler": "http://169.254.169.254/"}', "unknown_value"),
]


@pytest.mark.parametrize(("body", "code"), [pytest.param(body, code, id=name) for name, body, code in BODIES])
def test_bad_bodies(world: World, body: str | None, code: str) -> None:
    problem(world.send(event("POST", "/generate", body)), 400, code)
    assert world.endpoint.submitted == []


@pytest.mark.parametrize("text", ["\u202eevil", "a\u200bb", "👩‍👩‍👧‍👧", "e\u0301", "é", "a\x7f", "<img onerror=x>"])
def test_unusual_texts_stay_unchanged(world: World, text: str) -> None:
    status, body = world.call("POST", "/generate", {"prompt": text})
    assert (status, body["parameters"]["prompt"]) == (200, [text])


@pytest.mark.parametrize(
    "value",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/x-npy",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "application/json; charset=utf-16",
        "application/json, text/plain",
        "",
        None,
        ["application/json", "text/plain"],
    ],
)
def test_content_types(world: World, value: Any) -> None:
    sent = event("POST", "/generate", APPLE)
    del sent["headers"]["Content-Type"]
    sent["multiValueHeaders"] = {} if value is None else {"Content-Type": value if type(value) is list else [value]}
    problem(world.send(sent), 415, "unsupported_media_type")


@pytest.mark.parametrize("value", ["application/json; charset=utf-8", "Application/JSON;charset=UTF-8"])
def test_other_spellings_of_the_content_type(world: World, value: str) -> None:
    assert world.call("POST", "/generate", APPLE, headers={"Content-Type": value})[0] == 200


@pytest.mark.parametrize("accept", ["image/png", "application/json", "*/*", "nonsense"])
def test_responses_are_json_whatever_is_accepted(world: World, accept: str) -> None:
    response = world.send(event("POST", "/generate", APPLE, headers={"Accept": accept}))
    assert (response["statusCode"], response["headers"]["content-type"]) == (200, "application/json")


def test_a_body_over_the_limit(world: World) -> None:
    largest = contract.BODY_BYTES.maximum
    fitting = '{"prompt": "a"' + " " * (largest - 15) + "}"
    assert world.send(event("POST", "/generate", fitting))["statusCode"] == 200
    for body in (fitting + " ", " " * (largest + 1), "x" * 6_000_001):
        details = problem(world.send(event("POST", "/generate", body)), 413, "payload_too_large")
        assert str(largest) in details["hint"]


ROUTES = [(route["path"], route["allow"]) for route in (
    {"path": "/generate", "allow": "POST"},
    {"path": "/jobs", "allow": "POST, GET, HEAD"},
    {"path": f"/jobs/{MISSING}", "allow": "GET, HEAD, DELETE"},
    {"path": "/webhooks/secret", "allow": "GET, HEAD, POST"},
    {"path": "/models", "allow": "GET, HEAD"},
    {"path": "/health", "allow": "GET, HEAD"},
    {"path": "/usage", "allow": "GET, HEAD"},
    {"path": "/openapi.json", "allow": "GET, HEAD"},
)]  # fmt: skip


@pytest.mark.parametrize(("path", "allow"), ROUTES)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE"])
def test_methods(world: World, path: str, allow: str, method: str) -> None:
    response = world.send(event(method, path, APPLE))
    if method in allow.split(", "):
        assert response["statusCode"] != 405
    else:
        assert response["headers"]["allow"] == allow
    if method == "HEAD":
        same = world.send(event("GET", path, APPLE))
        assert (response["statusCode"], response["body"]) == (same["statusCode"], "")
        assert response["headers"] == same["headers"]
    elif method not in allow.split(", "):
        problem(response, 405, "method_not_allowed")


@pytest.mark.parametrize("path", ["/", "", "/nope", "/generate/x", "/%2e%2e/generate", "//generate", "/jobs/a/b", "x"])
def test_paths(world: World, path: str) -> None:
    problem(world.send(event("GET", path)), 404, "not_found")


def test_a_trailing_slash_is_ignored(world: World) -> None:
    assert world.call("POST", "/generate/", APPLE)[0] == 200


@pytest.mark.parametrize("id", [MISSING, "..", "%2e%2e", "A" * 44, "0" * 43, "0" * 10_000, f"{MISSING}.json", " "])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_unknown_and_invalid_ids(world: World, id: str, method: str) -> None:
    problem(world.send(event(method, f"/jobs/{id}")), 404, "not_found")


def test_another_callers_job_is_not_found(world: World) -> None:
    id = world.call("POST", "/generate", APPLE, key="mine")[1]["id"]
    assert world.call("GET", f"/jobs/{id}", key="mine")[0] == 200
    foreign, missing = (world.send(event("GET", f"/jobs/{path}", key="other")) for path in (id, MISSING))
    assert foreign["body"].replace(id, MISSING) == missing["body"]
    problem(foreign, 404, "not_found")
    problem(world.send(event("DELETE", f"/jobs/{id}", key="other")), 404, "not_found")
    assert world.call("GET", "/jobs", key="other")[1] == {"jobs": []}


# --- cancelling ----------------------------------------------------------------------------------


def test_a_queued_job_is_cancelled(slow: World) -> None:
    id = slow.call("POST", "/jobs", APPLE)[1]["id"]
    status, body = slow.call("DELETE", f"/jobs/{id}")
    assert (status, body["status"], body["error"]["code"]) == (200, "cancelled", "cancelled")
    assert slow.call("GET", f"/jobs/{id}")[1]["status"] == "cancelled"


def test_only_an_endpoint_that_reports_starts_knows_that_a_cancelled_job_did_not_start(slow: World) -> None:
    messages = []
    for reports_start in (True, False):
        slow.endpoint.reports_start = reports_start
        id = slow.call("POST", "/jobs", APPLE)[1]["id"]
        messages.append(slow.call("DELETE", f"/jobs/{id}")[1]["message"])
    assert ["before it started" in message for message in messages] == [True, False]


def test_a_running_or_ended_job_cannot_be_cancelled(slow: World) -> None:
    slow.endpoint.reports_start = True
    id = slow.call("POST", "/jobs", APPLE)[1]["id"]
    slow.reporter.start(slow.endpoint.submitted[0])
    problem(slow.send(event("DELETE", f"/jobs/{id}")), 409, "job_running")
    slow.endpoint.generate_all()
    problem(slow.send(event("DELETE", f"/jobs/{id}")), 409, "job_finished")


def test_a_running_job_is_cancelled_if_the_endpoint_stops_it(slow: World) -> None:
    slow.endpoint.reports_start = slow.endpoint.stops_jobs = True
    id = slow.call("POST", "/jobs", APPLE)[1]["id"]
    slow.reporter.start(slow.endpoint.submitted[0])
    status, body = slow.call("DELETE", f"/jobs/{id}")
    assert (status, body["status"]) == (200, "cancelled")
    assert "while it ran" in body["message"]
    assert slow.endpoint.stopped == slow.endpoint.submitted


def test_a_waiting_request_ends_when_its_job_is_cancelled(world: World) -> None:
    world.clock.while_sleeping = lambda: world.jobs.cancel(world.endpoint.submitted[0])  # type: ignore[assignment]
    problem(world.send(event("POST", "/generate", APPLE)), 409, "cancelled")


# --- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [code for code, kind in contract.ERRORS.items() if kind.status >= 422])
def test_a_failure_of_a_job_becomes_the_response(world: World, code: str) -> None:
    def fail() -> None:
        world.reporter.fail(world.endpoint.submitted[0], EaselError(code, "what was wrong", hint="what to do"))

    world.clock.while_sleeping = fail
    body = problem(world.send(event("POST", "/generate", APPLE)), contract.ERRORS[code].status, code)
    assert (body["detail"], body["hint"]) == ("what was wrong", "what to do")
    _, job = world.call("GET", f"/jobs/{world.endpoint.submitted[0].id}")
    assert (job["status"], job["error"]["code"], job["error"]["message"]) == ("failed", code, "what was wrong")
    assert "what was wrong" in job["message"]
    assert job["error"]["status"] == contract.ERRORS[code].status


def test_a_throttled_submission_has_a_retry_after(world: World) -> None:
    world.endpoint.error = EaselError("throttled", "slow down")
    problem(world.send(event("POST", "/generate", APPLE)), 429, "throttled")


def test_a_job_that_lost_its_creator_succeeds_in_the_end(slow: World) -> None:
    slow.endpoint.error = EaselError("upstream_closed", "closed")
    problem(slow.send(event("POST", "/jobs", APPLE)), 502, "upstream_closed")
    slow.endpoint.error = None
    slow.clock.time += SUBMIT_GRACE_S + 1
    assert slow.call("GET", "/jobs")[1]["jobs"][0]["status"] == "queued"
    slow.endpoint.generate_all()
    assert slow.call("GET", "/jobs")[1]["jobs"][0]["status"] == "succeeded"


# --- size ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("more", "inline"), [(-8_000, True), (0, False), (3_000_000, False)])
def test_images_that_are_too_large_come_as_links(world: World, more: int, inline: bool) -> None:
    world.endpoint.image_bytes = MAX_INLINE_BYTES * 3 // 4 // 2 + more // 2
    response = world.send(event("POST", "/generate", EXAMPLE))
    body = json.loads(response["body"])
    assert bool(body["generated_images"]) == inline
    assert bool(body["warnings"]) != inline
    assert len(body["images"]) == 2
    if inline:
        assert len(json.dumps(response)) > MAX_INLINE_BYTES - 16_000, "the limit is used"


def test_the_openapi_document_has_all_routes_fields_and_bounds() -> None:
    schema = document((replace(PROFILE, max_side=4096),))
    sides = schema["components"]["schemas"]["GenerationRequest"]["properties"]["width"]["oneOf"][0]
    assert (sides["minimum"], sides["maximum"], sides["multipleOf"]) == (64, contract.SIDE.maximum, 8)
    assert set(schema["components"]["schemas"]["GenerationRequest"]["properties"]) == {
        *contract.REQUEST_FIELDS, *contract.WEBHOOK_FIELDS
    }  # fmt: skip
    bodies = [case["body"] for case in json.loads((ROOT / "examples/accepted.json").read_text())]
    assert EXAMPLE in bodies
    schema = document((PROFILE,), apis=(NativeApi,))
    assert {(path.replace("{id}", MISSING), ", ".join(method.upper() for method in item)) for path, item in
            schema["paths"].items()} == {(path, allow.replace(", HEAD", "")) for path, allow in ROUTES}  # fmt: skip


def test_images_of_a_second_pass_have_its_size(world: World) -> None:
    body = {"prompt": "a", "width": 256, "height": 128, "hires": {"scale": 1.5}}
    (image,) = json.loads(world.send(event("POST", "/generate", body))["body"])["images"]
    assert (image["width"], image["height"]) == (384, 192)
