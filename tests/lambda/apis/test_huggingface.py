"""The Hugging Face API on fakes."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from fakes import MAGIC, PROFILE, ROOT, World, event

from contract import ERRORS, OUTPUT_FORMATS, SCHEDULERS, EaselError
from jobs.ports import EndpointState
from routes.apis import render_error

APPLE = {"inputs": "a red apple", "parameters": {"seed": 7}}
START = next(
    case["body"]["init_image"]
    for case in json.loads((ROOT / "examples/accepted.json").read_text())
    if "init_image" in case["body"]
)
TEXT, IMAGE = "/hf/text-to-image", "/hf/image-to-image"


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("code", sorted(ERRORS))
@pytest.mark.parametrize("path", [TEXT, IMAGE, f"{TEXT}/health", "/hf/other"])
def test_no_error_is_a_503(code: str, path: str) -> None:
    """@huggingface/inference repeats a 503 at once and without end, and so pays for every repetition."""
    response = render_error(EaselError(code, "what was wrong\n一", hint="What to do."), path, "request-1")
    assert response.status != 503
    body = json.loads(response.body)
    assert body["error"] == "What was wrong\n一. What to do."
    assert response.headers["x-error-message"].isascii() and "\n" not in response.headers["x-error-message"]
    assert ("estimated_time" in body) == (code == "model_loading")


@pytest.mark.parametrize(
    ("accept", "output_format"),
    [
        ("image/png", "png"), ("image/webp", "webp"), ("image/jpeg", "jpeg"), ("*/*", "png"), (None, "png"),
        ("image/*", "png"), ("image/avif, image/WEBP;q=0.9, */*", "webp"), ("application/json", "png"),
    ],
)  # fmt: skip
def test_the_response_is_an_image_file_as_accepted(world: World, accept: Any, output_format: str) -> None:
    response = world.send(event("POST", TEXT, APPLE, headers={"Accept": accept} if accept else None))
    assert (response["statusCode"], response["isBase64Encoded"]) == (200, True)
    assert base64.b64decode(response["body"]) == MAGIC[output_format] + b"\0"
    headers = response["headers"]
    assert headers["content-type"] == OUTPUT_FORMATS[output_format]
    assert (headers["x-seed"], headers["x-model"]) == ("7", "example")
    assert "x-warnings" not in headers


def sent(world: World, path: str, body: Any) -> tuple[Any, dict[str, str]]:
    """Return the request that the endpoint got, and the headers of the response."""
    response = world.send(event("POST", path, body))
    assert response["statusCode"] == 200, response
    return world.endpoint.request(world.endpoint.submitted[-1]), response["headers"]


def test_parameters_become_those_of_the_model() -> None:
    world = World(replace(PROFILE, schedulers=SCHEDULERS))
    parameters = {
        "negative_prompt": "fog 雾", "height": 300, "width": 5000, "num_inference_steps": 999, "guidance_scale": 4,
        "scheduler": "EulerAncestralDiscreteScheduler", "seed": 2**33, "num_images_per_prompt": 4, "watermark": "雾",
    }  # fmt: skip
    request, headers = sent(world, TEXT, {"inputs": "a", "parameters": parameters})
    assert (request.width, request.height, request.num_inference_steps, request.seed) == (768, 64, 150, 0)
    assert (request.scheduler, request.image_count, request.negative_prompt) == ("euler_a", 1, "fog 雾")
    assert headers["x-warnings"].count(";") == 4 and headers["x-warnings"].isascii()


@pytest.mark.parametrize(("name", "shown"), [("", "''"), (" a ", "a"), ("\n雾", "\\u96fe")])
def test_warnings_are_valid_headers_whatever_the_name_of_a_parameter(world: World, name: str, shown: str) -> None:
    """HTTP allows no space at the ends: the laptop's server would close the connection without a response."""
    _, headers = sent(world, TEXT, {"inputs": "a", "parameters": {name: [None]}})
    assert headers["x-warnings"] == f"{shown} was ignored: it is not supported here"


def test_fields_about_prompts_are_those_of_the_native_api(world: World) -> None:
    parameters = {"prompt_syntax": "weighted", "clip_skip": 2, "hires": {"scale": 1.5}}
    request, headers = sent(world, TEXT, {"inputs": "(a:1.3)", "parameters": parameters})
    assert (request.prompt_syntax, request.clip_skip, request.result_size) == ("weighted", 2, (768, 768))
    assert "x-warnings" not in headers


@pytest.mark.parametrize(
    "body", [{"inputs": "a"}, {"inputs": "a", "parameters": None}, {"inputs": "a", "parameters": []}]
)
def test_parameters_may_be_missing(world: World, body: Any) -> None:
    request, _ = sent(world, TEXT, body)
    assert (request.prompt, request.width) == (("a",), 512)


def test_an_image_starts_from_base64_or_from_the_whole_body(world: World) -> None:
    body = {"inputs": f"data:image/png;base64,{START}", "parameters": {"prompt": "a", "strength": 0.3}}
    request, _ = sent(world, IMAGE, body)
    assert (request.init_image, request.strength) == (START, 0.3)
    target = {"target_size": {"width": 128, "height": 64}, "prompt": "a"}
    request, _ = sent(world, IMAGE, {"inputs": START, "parameters": target})
    assert (request.width, request.height) == (128, 64)
    raw = event("POST", IMAGE, START, headers={"Content-Type": "image/png"}) | {"isBase64Encoded": True}
    response = world.send(raw)
    assert (response["statusCode"], json.loads(response["body"])["error"]) == (
        422,
        "prompt: Prompt is missing. Describe the image.",
    )


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        (TEXT, {}, "prompt: Prompt is missing"),
        (TEXT, {"inputs": ["a", "b"]}, "inputs: Inputs must be a string"),
        (TEXT, {"inputs": "a", "parameters": {"num_inference_steps": "x"}}, "num_inference_steps: "),
        (TEXT, {"inputs": "a", "parameters": "x"}, "parameters: "),
        (IMAGE, {"parameters": {"prompt": "a"}}, "inputs: "),
        (IMAGE, {"inputs": "!!!", "parameters": {"prompt": "a"}}, "inputs: Inputs "),
    ],
)
def test_a_field_that_cannot_be_used_is_named(world: World, path: str, body: Any, text: str) -> None:
    status, answer = world.call("POST", path, body)
    assert status == 422
    assert answer["error"].startswith(text)


def test_a_cold_model_says_how_long_it_takes(world: World) -> None:
    world.clock.while_sleeping = lambda: None
    world.endpoint.known_state = EndpointState("asleep", "", (4, 10))
    status, body = world.call("POST", TEXT, APPLE)
    assert (status, body["estimated_time"], len(world.endpoint.submitted)) == (504, 240, 1)


@pytest.mark.parametrize(
    ("code", "status"), [("gpu_out_of_memory", 500), ("too_busy", 429), ("over_budget", 504), ("content_filtered", 400)]
)
def test_statuses_of_errors(world: World, code: str, status: int) -> None:
    world.endpoint.error = EaselError(code, "the reason", hint="Do this.")
    assert world.call("POST", TEXT, APPLE) == (status, {"error": "The reason. Do this."})


def test_a_missing_key(world: World) -> None:
    response = world.send(event("POST", TEXT, APPLE, key=""))
    assert response["statusCode"] == 401 and set(json.loads(response["body"])) == {"error"}


@pytest.mark.parametrize("status", ["ready", "asleep", "starting", "unknown", "broken"])
@pytest.mark.parametrize("path", [TEXT, IMAGE])
def test_health(world: World, path: str, status: str) -> None:
    world.endpoint.known_state = EndpointState(status)
    assert world.call("GET", f"{path}/health")[0] == (504 if status == "broken" else 200)


def test_the_longest_jobs_have_no_response_but_go_on(world: World) -> None:
    world.clock.while_sleeping = lambda: None
    status, body = world.call("POST", TEXT, APPLE)
    assert status == 504 and world.endpoint.submitted[0].id in body["error"]


USED = {
    "prompt", "negative_prompt", "width", "height", "num_inference_steps", "guidance_scale", "scheduler", "seed",
    "target_size", "strength",
}  # fmt: skip
DOCUMENTED = sorted({*USED, "num_images_per_prompt", "provider", "model", "lora_scale", "mask_image", "eta"})
VALUES: tuple[Any, ...] = (None, True, 0, -1, 3, 1.5, 10**12, "", "x", [], ["x"], {}, {"width": "x"})


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_parameters_reach_the_model_only_if_it_has_them(name: str) -> None:
    world = World(replace(PROFILE, max_pixel_steps=10**12))
    parameters = {"seed": 7, "prompt": "a"}
    usual, _ = sent(world, IMAGE, {"inputs": START, "parameters": parameters})
    for value in VALUES:
        world.endpoint.submitted.clear()
        body = {"inputs": START, "parameters": {**parameters, name: value}}
        response = world.send(event("POST", IMAGE, body))
        assert response["statusCode"] in (200, 422), (value, response)
        if response["statusCode"] == 200 and name not in USED:
            assert world.endpoint.request(world.endpoint.submitted[0]) == usual
