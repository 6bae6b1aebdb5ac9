"""Images that the safety checker flags, in every API, on fakes."""

import json
from dataclasses import replace
from typing import Any

import pytest
from fakes import FLAGGED, PROFILE, World, event

PROMPTS = [FLAGGED, "a red apple"]


@pytest.fixture
def world() -> World:
    return World()


def submitted(world: World) -> Any:
    return world.endpoint.request(world.endpoint.submitted[-1])


def test_native_responses_say_which_image_is_flagged_and_why(world: World) -> None:
    body = world.call("POST", "/generate", {"prompt": PROMPTS, "content": "flag"})[1]
    flags = [(True, "safety_checker"), (False, None)]
    assert [(image["flagged"], image["flagged_reason"]) for image in body["images"]] == flags
    assert (len(body["generated_images"]), submitted(world).content) == (2, "flag")
    job = world.call("GET", f"/jobs/{body['id']}")[1]
    assert job["images"] == body["images"]
    assert job["status"] == "succeeded"


def test_models_lists_what_a_request_may_choose(world: World) -> None:
    for allowed in (("refuse", "flag"), ("refuse",), ()):
        model = World(replace(PROFILE, content=allowed)).call("GET", "/models")[1]["models"][0]
        assert model["content"] == list(allowed)


@pytest.mark.parametrize("stream", [False, True])
def test_openai_has_the_flag_beside_the_image(world: World, stream: bool) -> None:
    sent = {"prompt": FLAGGED, "content": "flag", "stream": stream}
    text = world.send(event("POST", "/v1/images/generations", sent))["body"]
    found = json.loads(text.partition("data: ")[2]) if stream else json.loads(text)["data"][0]
    assert (found["flagged"], found["flagged_reason"]) == (True, "safety_checker")
    usual = world.call("POST", "/v1/images/generations", {"prompt": "a red apple"})[1]["data"][0]
    assert "flagged" not in usual


@pytest.mark.parametrize(
    ("allowed", "inputs", "content"),
    [
        (("refuse", "flag"), {"disable_safety_checker": True}, "flag"),
        (("refuse", "flag"), {"disable_safety_checker": True, "content": "refuse"}, "refuse"),
        (("refuse", "flag"), {"disable_safety_checker": False}, None),
        (("refuse",), {"disable_safety_checker": True}, None),
    ],
)
def test_replicates_switch_returns_flagged_images_where_that_is_allowed(
    allowed: tuple[str, ...], inputs: dict[str, Any], content: str | None
) -> None:
    world = World(replace(PROFILE, content=allowed))
    path = "/v1/models/easel/example/predictions"
    assert world.call("POST", path, {"input": {"prompt": "a", **inputs}})[0] == 201
    assert submitted(world).content == content


def test_hugging_face_takes_the_native_field(world: World) -> None:
    parameters = {"content": "flag"}
    world.send(event("POST", "/hf/text-to-image", {"inputs": FLAGGED, "parameters": parameters}))
    assert submitted(world).content == "flag"
