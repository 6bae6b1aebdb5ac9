"""OpenAI's Images API on fakes: every documented field, every error, and one job for each request."""

import base64
import json
from dataclasses import replace
from typing import Any, NoReturn

import pytest
from fakes import MAGIC, PROFILE, Crash, World, event, owner_of

import contract
from contract import EaselError
from jobs.ports import EndpointState, Ticket
from jobs.retries import LOST_FOR_S, LOST_S, OFFER_S

GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"
APPLE = {"prompt": "a red apple", "seed": 7}
PNG = MAGIC["png"] + b"\0\0\0\rIHDR" + (96).to_bytes(4, "big") + (72).to_bytes(4, "big")
BOUNDARY, DISPOSITION = "b0undary", "Content-Disposition: form-data"
END = f"--{BOUNDARY}--\r\n".encode()


@pytest.fixture
def world() -> World:
    return World(replace(PROFILE, image_to_image=True))


@pytest.fixture
def cold(world: World) -> World:
    """A world whose endpoint is asleep and generates nothing."""
    world.clock.while_sleeping = lambda: None
    world.endpoint.known_state = EndpointState("asleep", wake_minutes=(6, 9))
    return world


def form(*fields: tuple[str, Any], files: tuple[tuple[str, bytes], ...] = ()) -> dict[str, Any]:
    """Return the event of a form, as API Gateway sends it."""
    parts = [part(f'{DISPOSITION}; name="{name}"', str(value).encode()) for name, value in fields]
    parts += [part(f'{DISPOSITION}; name="{name}"; filename="blob"', content) for name, content in files]
    return form_event(b"".join(parts) + END)


def part(head: str, content: bytes) -> bytes:
    return f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + content + b"\r\n"


def form_event(body: bytes, media_type: str = f"multipart/form-data; boundary={BOUNDARY}") -> dict[str, Any]:
    sent = event("POST", EDITS, base64.b64encode(body).decode(), headers={"Content-Type": media_type})
    return {**sent, "isBase64Encoded": True}


def generate(world: World, body: Any, **headers: str) -> dict[str, Any]:
    return world.send(event("POST", GENERATIONS, body, headers=headers))


def parsed(response: dict[str, Any]) -> Any:
    assert response["statusCode"] == 200, response["body"]
    return json.loads(response["body"])


def error(response: dict[str, Any], status: int, code: str, param: str | None = None) -> Any:
    """Return the error of a response, after checking its form."""
    body, headers = json.loads(response["body"]), response["headers"]
    assert set(body) == {"error"} and {"message", "type", "param", "code"} <= set(body["error"])
    assert (response["statusCode"], body["error"]["code"], body["error"]["param"]) == (status, code, param)
    assert headers["content-type"] == "application/json"
    assert ("retry-after" in headers) != (headers.get("x-should-retry") == "false")
    return body["error"]


def sent_request(world: World) -> contract.GenerationRequest:
    """Return the only request that the model got."""
    (ticket,) = world.endpoint.submitted
    return world.endpoint.request(ticket)


# --- successes -----------------------------------------------------------------------------------


def test_images_have_their_seeds_and_say_how_they_were_made(world: World) -> None:
    body = parsed(generate(world, {**APPLE, "n": 2, "size": "128x72", "model": PROFILE.id}))
    assert [base64.b64decode(item["b64_json"]) for item in body["data"]] == [MAGIC["png"] + bytes([i]) for i in (0, 1)]
    assert [item["seed"] for item in body["data"]] == [7, 8]
    assert (body["size"], body["output_format"], body["model"], body["seed"]) == ("128x72", "png", PROFILE.id, 7)
    assert (body["created"], body["warnings"], body["timings"]["generate_s"]) == (1_800_000_000, [], 1.0)
    assert body["job"] == world.endpoint.submitted[0].id
    request = sent_request(world)
    assert (request.prompt, request.image_count, request.width, request.height) == (("a red apple",), 2, 128, 72)


def test_values_that_the_model_cannot_take_are_changed_with_a_warning(world: World) -> None:
    body = parsed(generate(world, {**APPLE, "size": "512x8000", "model": "gpt-image-1", "steps": 999, "novel": 1}))
    assert body["size"] == f"64x{PROFILE.max_side}"
    assert [warning.split(" ")[0] for warning in body["warnings"]] == ["the", "the", "steps", "novel"]
    assert sent_request(world).num_inference_steps == PROFILE.max_steps


@pytest.mark.parametrize(
    ("quality", "factor"),
    [("low", 0.6), ("medium", 1), ("high", 1.6), ("hd", 1.6), ("xhigh", 2), ("max", 2.4), ("auto", 1), ("standard", 1),
     (None, 1), ("ultra", 1)],
)  # fmt: skip
def test_quality_sets_the_steps(world: World, quality: str | None, factor: float) -> None:
    body = parsed(generate(world, {**APPLE, "quality": quality}))
    assert sent_request(world).num_inference_steps == round(PROFILE.steps * factor)
    assert bool(body["warnings"]) == (quality == "ultra")


@pytest.mark.parametrize(
    ("fields", "links"),
    [
        ({}, False),
        ({"response_format": "url"}, True),
        ({"response_format": "url", "model": "gpt-image-1"}, True),
        ({"response_format": "b64_json", "model": "dall-e-3"}, False),
        ({"model": "dall-e-2"}, True),
        ({"model": "gpt-image-1"}, False),
        ({"model": PROFILE.id}, False),
    ],
)
def test_urls_are_for_those_who_want_them_and_for_clients_of_old_models(
    world: World, fields: dict[str, str], links: bool
) -> None:
    """T5: each client reads one of the two."""
    (item,) = parsed(generate(world, {**APPLE, **fields}))["data"]
    assert set(item) == {"url" if links else "b64_json", "seed"}
    assert not links or item["url"].startswith("https://files.example/jobs/")


@pytest.mark.parametrize(
    ("context", "sent", "base"),
    [
        ({"path": "/v1/v1/images/generations"}, {"Host": "a.example"}, "https://a.example/v1"),
        ({"path": GENERATIONS}, {"host": "127.0.0.1:7860", "x-forwarded-proto": "http"}, "http://127.0.0.1:7860"),
        ({"path": f"/studio{GENERATIONS}"}, {"host": "[::1]:80"}, "https://[::1]:80/studio"),
        ({}, {"Host": 'a"<b'}, ""),
        ({}, {}, ""),
    ],
)
def test_urls_are_absolute(
    world: World, context: dict[str, str], sent: dict[str, str], base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.store, "link", lambda key, seconds: f"/files/{key}")
    request = event("POST", GENERATIONS, {**APPLE, "response_format": "url"}, headers=sent)
    request["requestContext"] |= context
    (item,) = parsed(world.send(request))["data"]
    assert item["url"].startswith(f"{base}/files/jobs/")


def test_an_edit_starts_from_the_image_at_its_own_size(world: World) -> None:
    body = parsed(world.send(form(("prompt", "a"), ("n", "2"), ("strength", "0.6"), files=(("image", PNG),))))
    request = sent_request(world)
    assert (body["size"], len(body["data"])) == ("96x72", 2)
    assert (request.strength, request.init_image) == (0.6, base64.b64encode(PNG).decode())


def test_a_mask_is_generated_where_it_is_transparent(world: World) -> None:
    mask = PNG + b"mask"
    parsed(world.send(form(("prompt", "a"), files=(("image", PNG), ("mask", mask)))))
    request = sent_request(world)
    assert (request.mask_image, request.mask_mode) == (base64.b64encode(mask).decode(), "transparent")


@pytest.mark.parametrize("name", ["image", "image[]", "image[0]"])
def test_each_name_of_the_image_is_known(world: World, name: str) -> None:
    parsed(world.send(form(("prompt", "a"), ("size", "64x64"), files=((name, PNG),))))
    assert sent_request(world).width == 64


def test_models_are_listed(world: World) -> None:
    status, body = world.call("GET", "/v1/models")
    model = {"id": PROFILE.id, "object": "model", "created": 0, "owned_by": "easel"}
    assert (status, body) == (200, {"object": "list", "data": [model]})
    assert world.call("GET", f"/v1/models/{PROFILE.id}") == (200, model)
    error(world.send(event("GET", "/v1/models/dall-e-3")), 404, "not_found", "model")


@pytest.mark.parametrize("path", [GENERATIONS, EDITS])
def test_a_stream_is_one_body_of_well_formed_events(world: World, path: str) -> None:
    fields = {**APPLE, "n": "2", "stream": "true", "partial_images": "3"}
    image = (("image", PNG),)
    sent = event("POST", path, fields) if path == GENERATIONS else form(*fields.items(), files=image)
    response = world.send(sent)
    assert (response["statusCode"], response["headers"]["content-type"]) == (200, "text/event-stream; charset=utf-8")
    kind = "image_generation.completed" if path == GENERATIONS else "image_edit.completed"
    blocks = response["body"].removesuffix("\n\n").split("\n\n")
    assert [block.split("\n")[0] for block in blocks] == [f"event: {kind}"] * 2
    events = [json.loads(block.split("\n")[1].removeprefix("data: ")) for block in blocks]
    assert [(item["type"], item["seed"]) for item in events] == [(kind, 7), (kind, 8)]
    assert base64.b64decode(events[0]["b64_json"]) == MAGIC["png"] + b"\0"
    assert {"created_at", "size", "background", "output_format"} <= set(events[0])


# --- fields --------------------------------------------------------------------------------------

DOCUMENTED: dict[str, list[Any]] = {
    "model": ["gpt-image-1", "dall-e-3"],
    "n": [1, 8],
    "size": ["auto", "1024x1024", "1536x1024", "256x256"],
    "quality": ["low", "medium", "high", "xhigh", "max", "auto", "standard", "hd"],
    "response_format": ["url", "b64_json"],
    "output_format": ["png", "webp", "jpeg"],
    "output_compression": [0, 100],
    "background": ["opaque", "auto"],
    "moderation": ["low", "auto"],
    "style": ["vivid", "natural"],
    "user": ["user-1"],
    "safety_identifier": ["user-1"],
    "complexity": ["low"],
    "input_fidelity": ["high", "low"],
    "stream": [True, False],
    "partial_images": [0, 3],
    "negative_prompt": ["blue"],
    "seed": [0, 2**32 - 1, -1],
    "steps": [1, 50],
    "guidance_scale": [0, 7.5],
    "scheduler": ["ddim", "unknown"],
    "strength": [0.5],
    "loras": [[]],
    "unheard_of": [{"a": 1}],
}
OWN = {"prompt_syntax": "weighted", "clip_skip": 2, "hires": {"scale": 1.5}}
REFUSED: dict[str, list[Any]] = {
    "prompt": ["", "  ", 7, None, ["a"], "a" * 2001, "\0"],
    "n": [0, 9, 1.5e9, "many", True],
    "size": ["big", 512, "512", "1x2x3"],
    "response_format": ["jpg", 1],
    "output_format": ["gif", "svg", 1],
    "background": ["transparent"],
    "frame_count": [2],
    "frame_duration_ms": [100],
    "svg": [{"a": 1}],
    "loras": ["[{}]", [{"name": "a", "scale": 1}]],
    "mask": ["a"],
    "stream": [1, "yes", []],
    "partial_images": [4, -1, "x"],
    "seed": ["x", []],
    "steps": ["x"],
    "guidance_scale": [{}],
    "negative_prompt": [7, "\0"],
}
USED = {"n", "size", "quality", "output_format", "negative_prompt", "seed", "steps", "guidance_scale", "scheduler"}


def test_fields_about_prompts_are_those_of_the_native_api(world: World) -> None:
    response = generate(world, {"prompt": "(a:1.3)", "size": "256x128", **OWN})
    request = world.endpoint.request(world.endpoint.submitted[0])
    assert (request.prompt_syntax, request.clip_skip, request.result_size) == ("weighted", 2, (384, 192))
    assert json.loads(response["body"])["size"] == "384x192"
    world.send(form(("prompt", "a"), ("prompt_syntax", "weighted"), ("clip_skip", "2"), files=(("image", PNG),)))
    request = world.endpoint.request(world.endpoint.submitted[1])
    assert (request.prompt_syntax, request.clip_skip) == ("weighted", 2)
    for name, value, code in (
        ("hires", "{", "wrong_type"), ("hires", {"scale": 3}, "out_of_range"), ("clip_skip", "x", "wrong_type"),
        ("prompt_syntax", "x", "unknown_value"),
    ):  # fmt: skip
        error = json.loads(generate(world, {"prompt": "a", name: value})["body"])["error"]
        assert (error["code"], error["param"].partition(".")[0]) == (code, name)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in DOCUMENTED for value in DOCUMENTED[name]])
def test_every_documented_field_is_accepted_as_json_and_in_a_form(name: str, value: Any) -> None:
    for edit in (False, True):
        world = World(replace(PROFILE, image_to_image=True, max_pixel_steps=10**12))
        text = str(value).lower() if isinstance(value, bool) else json.dumps(value) if name == "loras" else value
        fields = (("prompt", "a"), (name, text))
        response = (
            world.send(form(*fields, files=(("image", PNG),)))
            if edit
            else generate(world, {"prompt": "a", name: value})
        )
        assert response["statusCode"] == 200, response["body"]
        request = world.endpoint.request(world.endpoint.submitted[0])
        plain = contract.validate_request({"prompt": "a", "seed": request.seed}, PROFILE)
        plain = replace(plain, width=request.width, height=request.height)
        same = replace(request, deadline_ms=None, init_image=None, strength=None) == plain
        assert same or name in USED, "a field without effect reaches the model"


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in REFUSED for value in REFUSED[name]])
def test_what_cannot_be_generated_is_refused_by_its_name(world: World, name: str, value: Any) -> None:
    response = generate(world, {"prompt": "a", name: value})
    status = json.loads(response["body"])["error"]
    assert (response["statusCode"], status["param"], status["type"]) == (400, name, "invalid_request_error")
    assert not world.endpoint.submitted


def test_a_message_says_what_to_do_in_this_apis_names() -> None:
    world = World(replace(PROFILE, max_pixel_steps=1, image_to_image=False))
    assert "fewer images" in error(generate(world, APPLE), 400, "job_too_large")["message"]
    refused = error(world.send(form(("prompt", "a"), files=(("image", PNG),))), 400, "not_supported", "image")
    assert "init_image" not in refused["message"]


@pytest.mark.parametrize(
    ("files", "code", "param"),
    [
        ((), "missing_field", "image"),
        ((("image[]", PNG), ("image[]", PNG)), "not_supported", "image"),
        ((("image", PNG), ("mask", b"GIF89a")), "bad_image", "mask"),
        ((("image", b"GIF89a"),), "bad_image", "image"),
        ((("image", MAGIC["jpeg"] + bytes(contract.INIT_IMAGE_BYTES - 2)),), "out_of_range", "image"),
    ],
)
def test_images_that_cannot_be_edited_are_refused(world: World, files: Any, code: str, param: str) -> None:
    error(world.send(form(("prompt", "a"), files=files)), 400, code, param)
    assert not world.endpoint.submitted


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (form_event(b"", "text/plain"), 415, "unsupported_media_type"),
        (form_event(b"", "multipart/form-data"), 415, "unsupported_media_type"),
        (form_event(b"", f"multipart/form-data; boundary={BOUNDARY}"), 400, "invalid_form"),
        (form_event(part("", b"x") + END), 400, "invalid_form"),
        (form_event(part(DISPOSITION, b"x") + END), 400, "invalid_form"),
        (form_event(part(f'{DISPOSITION}; name="a"', b"x")), 400, "invalid_form"),
        (form_event(part(f'{DISPOSITION}; name="prompt"', b"\xff") + part(f"{DISPOSITION}; name=image", PNG) + END),
         400, "invalid_form"),
        (form_event(part(f'{DISPOSITION}; name="a"', b"x") * 300 + END), 400, "invalid_form"),
        (form_event(bytes(contract.BODY_BYTES.maximum + 1)), 413, "payload_too_large"),
        (event("POST", GENERATIONS, "{"), 400, "invalid_json"),
        (event("POST", GENERATIONS, "[]"), 400, "expected_object"),
        (event("POST", GENERATIONS, APPLE, headers={"Content-Type": "text/plain"}), 415, "unsupported_media_type"),
        (event("GET", "/v1/chat/completions"), 404, "not_found"),
        (event("GET", GENERATIONS), 405, "method_not_allowed"),
    ],
)  # fmt: skip
def test_other_bodies_and_paths_are_refused_in_openais_form(
    world: World, sent: dict[str, Any], status: int, code: str
) -> None:
    response = world.send(sent)
    assert (response["statusCode"], json.loads(response["body"])["error"]["code"]) == (status, code)


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status", "shown"),
    [
        ("gpu_out_of_memory", 500, "gpu_out_of_memory"),
        ("nan_output", 500, "nan_output"),
        ("upstream_error", 500, "upstream_error"),
        ("deadline_exceeded", 500, "deadline_exceeded"),
        ("content_filtered", 400, "content_policy_violation"),
        ("cancelled", 400, "cancelled"),
    ],
)
def test_a_failed_job_is_final(world: World, code: str, status: int, shown: str) -> None:
    failure = EaselError(code, "it failed", hint="Do this.")

    def fail() -> None:
        world.reporter.fail(world.endpoint.submitted[0], failure)

    world.clock.while_sleeping = fail
    response = generate(world, APPLE)
    body = error(response, status, shown)
    assert response["headers"]["x-should-retry"] == "false"
    assert (body["message"], body["job"]) == ("It failed. Do this.", world.endpoint.submitted[0].id)
    assert body["type"] == ("server_error" if status == 500 else "invalid_request_error")


def test_a_client_that_retries_regardless_gets_a_status_that_it_does_not_retry(world: World) -> None:
    """The AI SDK sends a request again after 409, 429 and 5xx, whatever x-should-retry says."""

    def fail() -> None:
        world.reporter.fail(world.endpoint.submitted[-1], EaselError("model_error", "it failed"))

    world.clock.while_sleeping = fail
    agent = {"User-Agent": "ai/7.0.173 ai-sdk-provider-utils/5.0.81 node.js/24"}
    error(generate(world, APPLE, **agent), 424, "model_error")
    world.endpoint.error = EaselError("too_busy", "busy")
    error(generate(world, APPLE, **agent), 429, "too_busy")


def test_a_request_that_takes_too_long_names_the_job(world: World) -> None:
    world.clock.while_sleeping = lambda: None
    response = generate(world, APPLE)
    body = error(response, 400, "use_jobs")
    assert response["headers"]["x-should-retry"] == "false"
    assert body["job"] in body["message"]
    world.endpoint.generate_all()
    assert world.call("GET", f"/jobs/{body['job']}")[1]["status"] == "succeeded"


def test_images_that_do_not_fit_are_not_lost(world: World) -> None:
    world.endpoint.image_bytes = 2_400_000
    job = error(generate(world, {**APPLE, "n": 2}), 400, "images_too_large")["job"]
    assert len(world.call("GET", f"/jobs/{job}")[1]["images"]) == 2
    assert len(parsed(generate(world, {**APPLE, "n": 2, "response_format": "url"}))["data"]) == 2


def test_errors_of_the_gateway_and_of_the_endpoint_have_openais_form(world: World) -> None:
    world.endpoint.error = EaselError("throttled", "slow down")
    response = generate(world, APPLE)
    assert error(response, 429, "throttled")["type"] == "rate_limit_error"
    assert response["headers"]["retry-after"]
    assert error(world.send({**event("GET", "/v1/models"), "requestContext": {}}), 401, "unauthorized")["type"] == (
        "authentication_error"
    )


# --- retries -------------------------------------------------------------------------------------


def attempt(number: int) -> dict[str, str]:
    return {"X-Stainless-Retry-Count": str(number)}


def test_retries_of_a_cold_request_continue_with_its_job(cold: World) -> None:
    jobs = set()
    for number in range(4):
        response = generate(cold, {"prompt": "a"}, **attempt(number))
        body = error(response, 503, "model_loading")
        assert response["headers"]["retry-after"] == "15"
        assert "6 to 9 minutes" in body["message"]
        jobs.add(body["job"])
    cold.endpoint.generate_all()
    body = parsed(generate(cold, {"prompt": "a"}, **attempt(4)))
    assert jobs == {body["job"]}
    assert len(cold.endpoint.submitted) == 1


def test_two_equal_requests_at_a_time_keep_two_jobs(cold: World) -> None:
    """T3: a client that wants two images sends the same request twice."""
    for number in range(3):
        pair = {error(generate(cold, {"prompt": "a"}, **attempt(number)), 503, "model_loading")["job"] for _ in "ab"}
        assert len(pair) == 2
    assert len(cold.endpoint.submitted) == 2


def test_equal_requests_are_never_the_same_job(world: World) -> None:
    """T3, also where a retry follows a response that made no job."""
    bodies = [parsed(generate(world, {"prompt": "a"}, **headers)) for headers in ({}, {}, attempt(0), attempt(1))]
    assert len({body["job"] for body in bodies}) == len({body["seed"] for body in bodies}) == 4


@pytest.mark.parametrize(
    ("change", "jobs"),
    [({}, 1), ({"prompt": "b"}, 2), ({"key": "key-2"}, 2), ({"age": OFFER_S - 30}, 1), ({"age": OFFER_S + 1}, 2)],
)
def test_a_retry_is_of_the_same_caller_and_content_and_soon(cold: World, change: dict[str, Any], jobs: int) -> None:
    error(generate(cold, {"prompt": "a"}, **attempt(0)), 503, "model_loading")
    cold.clock.time += change.get("age", 0)
    body = {"prompt": change.get("prompt", "a")}
    cold.send(event("POST", GENERATIONS, body, headers=attempt(1), key=change.get("key", "key-1")))
    assert len(cold.endpoint.submitted) == jobs


def test_an_idempotency_key_continues_with_its_job(cold: World) -> None:
    for number in range(3):
        error(generate(cold, {"prompt": "a"}, **attempt(number), **{"Idempotency-Key": "a"}), 503, "model_loading")
    assert len(cold.endpoint.submitted) == 1
    assert error(generate(cold, {"prompt": "b"}, **{"Idempotency-Key": "a"}), 409, "idempotency_mismatch")


def test_forms_are_recognised_by_their_fields_and_image(cold: World) -> None:
    for number in range(2):
        sent = form(("prompt", "a"), files=(("image", PNG),))
        sent["headers"] |= attempt(number)
        sent["multiValueHeaders"] |= {name: [value] for name, value in attempt(number).items()}
        error(cold.send(sent), 503, "model_loading")
    assert len(cold.endpoint.submitted) == 1


def test_a_client_that_retries_regardless_gets_the_job_of_a_cold_request(cold: World) -> None:
    body = error(generate(cold, APPLE, **{"User-Agent": "ai-sdk/openai/4.0.1"}), 424, "model_loading")
    assert body["job"] == cold.endpoint.submitted[0].id


AI_SDK = {"User-Agent": "ai/7.0.173 ai-sdk/openai/4.0.118 runtime/node.js/24"}


def lose(world: World, cold_s: float = 0) -> None:
    """Send a request whose function is ended when its job was submitted, so that the gateway answers in its place.

    `cold_s`: seconds until the function began.
    """
    submit = world.endpoint.submit

    def submit_and_die(ticket: Ticket) -> NoReturn:
        submit(ticket)
        die(world, cold_s)

    world.endpoint.submit = submit_and_die  # type: ignore[method-assign]
    with pytest.raises(Crash):
        world.send(after_cold_start(world, cold_s))
    world.endpoint.submit = submit  # type: ignore[method-assign]


def after_cold_start(world: World, seconds: float) -> dict[str, Any]:
    """Return the event of a request that the gateway received so long ago."""
    sent = event("POST", GENERATIONS, APPLE, headers=AI_SDK)
    received_ms = round(1000 * (world.clock.now() - seconds))
    return {**sent, "requestContext": {**sent["requestContext"], "requestTimeEpoch": received_ms}}


def die(world: World, cold_s: float = 0) -> NoReturn:
    world.clock.time += LOST_S - cold_s
    raise Crash


@pytest.mark.parametrize("cold_s", [0, 8])
@pytest.mark.parametrize("wait_s", [LOST_S - 0.1, LOST_S, LOST_FOR_S - 0.1, LOST_FOR_S])
def test_a_request_that_got_no_response_is_continued_by_the_next(world: World, wait_s: float, cold_s: float) -> None:
    lose(world, cold_s)
    world.clock.time += wait_s - LOST_S
    world.endpoint.generate_all()
    generate(world, APPLE, **AI_SDK)
    assert len(set(world.endpoint.submitted)) == (1 if LOST_S <= wait_s < LOST_FOR_S else 2)


def test_each_lost_request_is_continued_once(world: World) -> None:
    """T3: a client that wants two images repeats both requests."""
    retries = world.jobs.retries

    def key(owner: str) -> str:
        return retries.begin(owner_of(owner), "digest", world.clock.steady()).key

    lost = {key("key-1") for _ in "ab"}
    assert len(lost) == 2
    world.clock.time += LOST_S
    assert {key("key-1") for _ in "ab"} == lost
    assert key("key-1") not in lost, "a new click"
    assert key("key-2") not in lost


def test_a_second_lost_attempt_is_continued_too(world: World) -> None:
    lose(world)
    world.clock.while_sleeping = lambda: die(world)
    with pytest.raises(Crash):
        generate(world, APPLE, **AI_SDK)
    world.clock.while_sleeping = world.endpoint.generate_all
    parsed(generate(world, APPLE, **AI_SDK))
    assert len(set(world.endpoint.submitted)) == 1


@pytest.mark.parametrize("change", [{"prompt": "b"}, {"seed": 8}])
def test_another_request_continues_none(world: World, change: dict[str, Any]) -> None:
    lose(world)
    parsed(generate(world, APPLE | change, **AI_SDK))
    assert len(world.endpoint.submitted) == 2


def test_a_click_after_a_response_is_a_new_job(world: World) -> None:
    for _ in range(2):
        parsed(generate(world, APPLE, **AI_SDK))
        world.clock.time += LOST_S
    assert len(world.endpoint.submitted) == 2


@pytest.mark.parametrize(("seconds", "jobs"), [(LOST_S - 8.1, 2), (LOST_S - 8, 1)])
def test_a_response_too_late_after_a_cold_start_is_none(world: World, seconds: float, jobs: int) -> None:
    def take() -> None:
        world.clock.time += seconds - 0.1
        world.endpoint.generate_all()

    began_at = world.clock.time
    world.clock.while_sleeping = take
    parsed(world.send(after_cold_start(world, 8)))
    world.clock.time = began_at + LOST_S
    world.clock.while_sleeping = world.endpoint.generate_all
    parsed(generate(world, APPLE, **AI_SDK))
    assert len(set(world.endpoint.submitted)) == jobs


def test_a_job_can_be_started_without_waiting(cold: World) -> None:
    response = generate(cold, APPLE, Prefer="respond-async")
    assert (response["statusCode"], json.loads(response["body"])) == (
        202,
        {"id": cold.endpoint.submitted[0].id, "stream": False, "partial_images": 0},
    )
    assert cold.clock.time == 1_800_000_000
