"""LoRAs in every API, on fakes."""

import json
from dataclasses import replace
from typing import Any

import pytest
from fakes import PROFILE, World, event

from contract import LORA_COST_PERCENT, Lora, ProfileLora

FAST = ProfileLora(id="fast", name="Four Steps", scheduler="lcm", steps=4, guidance_scale=1.0)
FLAT = ProfileLora(id="flat", name="Flat", name_zh="扁平", scale=0.5, words=("flat style",))
WITH_LORAS = replace(PROFILE, schedulers=(*PROFILE.schedulers, "lcm"), loras=(FLAT, FAST))
APPLE = {"prompt": "a red apple", "seed": 7}


@pytest.fixture
def world() -> World:
    return World(WITH_LORAS)


def submitted(world: World) -> Any:
    """Return the request that the endpoint got."""
    return world.endpoint.request(world.endpoint.submitted[-1])


def txt2img(world: World, prompt: str, **fields: Any) -> tuple[Any, list[str]]:
    status, body = world.call("POST", "/sdapi/v1/txt2img", {**APPLE, "prompt": prompt, **fields})
    assert status == 200, body
    return submitted(world), json.loads(body["info"])["warnings"]


def test_native(world: World) -> None:
    status, body = world.call("POST", "/generate", {**APPLE, "loras": [{"id": "flat"}, {"id": "fast", "scale": -1}]})
    assert status == 200
    request = submitted(world)
    assert request.loras == (Lora("flat", 0.5), Lora("fast", -1))
    assert (request.scheduler, request.num_inference_steps, request.guidance_scale) == ("lcm", 4, 1.0)
    loras = [{"id": "flat", "scale": 0.5}, {"id": "fast", "scale": -1.0}]
    assert body["parameters"]["loras"] == loras
    _, job = world.call("GET", f"/jobs/{body['id']}")
    assert job["parameters"]["loras"] == loras


def test_the_list_of_models_has_them(world: World) -> None:
    (model,) = world.call("GET", "/models")[1]["models"]
    assert model["loras"] == [
        {
            "id": "flat", "name": "Flat", "name_in": {"zh-CN": "扁平"}, "scale": 0.5, "words": ["flat style"],
            "scheduler": None, "num_inference_steps": None, "guidance_scale": None,
        },
        {
            "id": "fast", "name": "Four Steps", "name_in": {"zh-CN": "Four Steps"}, "scale": 1.0, "words": [],
            "scheduler": "lcm", "num_inference_steps": 4, "guidance_scale": 1.0,
        },
    ]  # fmt: skip
    assert model["bounds"]["loras"] == {"minimum": 1, "maximum": 4}
    assert model["bounds"]["lora_scale"] == {"minimum": -4, "maximum": 4}
    assert model["bounds"]["lora_cost_percent"] == LORA_COST_PERCENT


def test_automatic1111_takes_tags(world: World) -> None:
    request, warnings = txt2img(world, "an apple <lora:flat:0.8> <lora:Four Steps>")
    assert request.loras == (Lora("flat", 0.8), Lora("fast", 1.0))
    assert request.prompt == ("an apple  ",)
    assert warnings == []
    _, loras = world.call("GET", "/sdapi/v1/loras")
    assert [(lora["name"], lora["alias"]) for lora in loras] == [("flat", "Flat"), ("fast", "Four Steps")]


@pytest.mark.parametrize(
    ("tag", "loras", "warned"),
    [
        ("<lora:FLAT:te=-0.2:unet=0.5>", (Lora("flat", -0.2),), 0),
        ("<lyco:flat:4>", (Lora("flat", 4),), 0),
        ("<lora:flat:4.1>", (Lora("flat", 4),), 1),
        ("<lora:flat:a lot>", (Lora("flat", 0.5),), 1),
        ("<lora:flat:>", (Lora("flat", 0.5),), 0),
        ("<lora:other:1>", None, 1),
        ("<hypernet:flat:1>", None, 1),
    ],
)
def test_a_tag_that_cannot_be_used_as_it_is_gets_a_warning(
    world: World, tag: str, loras: tuple[Lora, ...] | None, warned: int
) -> None:
    request, warnings = txt2img(world, f"an apple {tag}")
    assert (request.prompt, request.loras, len(warnings)) == (("an apple ",), loras, warned)


def test_a_lora_without_a_name_is_found_by_its_id_alone() -> None:
    request, warnings = txt2img(World(replace(PROFILE, loras=(ProfileLora(id="flat"),))), "a<lora:Flat:0.5><lora: :1>")
    assert (request.loras, len(warnings)) == ((Lora("flat", 0.5),), 1)


def test_a_fifth_tag_and_one_in_the_negative_prompt_are_left_out() -> None:
    world = World(replace(PROFILE, loras=tuple(ProfileLora(id=f"l{i}") for i in range(5))))
    tags = "".join(f"<lora:l{i}:1>" for i in range(5))
    request, warnings = txt2img(world, f"a{tags}", negative_prompt="b<lora:l0:1>")
    assert [lora.id for lora in request.loras] == ["l0", "l1", "l2", "l3"]
    assert (request.negative_prompt, len(warnings)) == ("b", 2)


def test_openai(world: World) -> None:
    body = {"prompt": "an apple", "quality": "high", "loras": [{"id": "fast", "scale": 0.9}]}
    assert world.call("POST", "/v1/images/generations", body)[0] == 200
    request = submitted(world)
    assert (request.loras, request.scheduler, request.num_inference_steps) == ((Lora("fast", 0.9),), "lcm", 6)


def test_hugging_face(world: World) -> None:
    body = {"inputs": "an apple", "parameters": {"loras": [{"id": "flat"}]}}
    assert world.send(event("POST", "/hf/text-to-image", body))["statusCode"] == 200
    assert submitted(world).loras == (Lora("flat", 0.5),)


def test_replicate(world: World) -> None:
    body = {"input": {"prompt": "an apple", "loras": [{"id": "flat", "scale": 2}]}}
    assert world.call("POST", "/v1/predictions", body)[0] == 201
    assert submitted(world).loras == (Lora("flat", 2.0),)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/generate", {"prompt": "a", "loras": [{"id": "other"}]}),
        ("/v1/images/generations", {"prompt": "a", "loras": [{"id": "other"}]}),
        ("/v1/images/generations", {"prompt": "a", "loras": "x"}),
        ("/hf/text-to-image", {"inputs": "a", "parameters": {"loras": [{"id": "other"}]}}),
        ("/v1/predictions", {"input": {"prompt": "a", "loras": [{"id": "other"}]}}),
    ],
)
def test_a_lora_that_the_model_does_not_have_is_refused(world: World, path: str, body: Any) -> None:
    status, answer = world.call("POST", path, body)
    assert status in (400, 422), answer
    assert "loras" in json.dumps(answer)
    assert world.endpoint.submitted == []
