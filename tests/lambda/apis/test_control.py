"""ControlNets in every API, on fakes."""

import base64
import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from fakes import PROFILE, World

from contract import CONTROL_COST_PERCENT, Control, ProfileControl

CANNY = ProfileControl(id="canny", name="Edges", name_zh="边缘", scale=0.5, preprocess="canny")
POSE = ProfileControl(id="pose")
WITH_CONTROLS = replace(PROFILE, controls=(CANNY, POSE))
IMAGES = [base64.b64encode(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + 2 * side.to_bytes(4, "big")).decode() for side in (8, 16)]
HASHES = [f"sha256:{sha256(base64.b64decode(image)).hexdigest()}" for image in IMAGES]
BODY: dict[str, Any] = {
    "prompt": "a red apple",
    "seed": 7,
    "control": [
        {"id": "pose", "image": IMAGES[0], "end": 0.5},
        {"id": "canny", "image": IMAGES[1], "preprocess": "canny"},
    ],
}
SENT = (
    Control(id="pose", image=IMAGES[0], scale=1.0, end=0.5),
    Control(id="canny", image=IMAGES[1], scale=0.5, preprocess="canny"),
)


@pytest.fixture
def world() -> World:
    return World(WITH_CONTROLS)


@pytest.fixture
def slow(world: World) -> World:
    """The endpoint generates nothing."""
    world.clock.while_sleeping = lambda: None
    return world


def keys(world: World) -> list[str]:
    return sorted(key.rpartition("/")[2] for key in world.store.objects if "control-image" in key)


def test_native(world: World) -> None:
    status, body = world.call("POST", "/generate", BODY)
    assert status == 200
    assert world.endpoint.request(world.endpoint.submitted[-1]).control == SENT
    sent = body["parameters"]["control"]
    assert [item["image"] for item in sent] == HASHES
    _, job = world.call("GET", f"/jobs/{body['id']}")
    assert job["parameters"]["control"] == sent
    assert keys(world) == ["control-images"]


def test_a_job_whose_creator_died_is_submitted_with_its_images(slow: World) -> None:
    id = slow.call("POST", "/jobs", BODY)[1]["id"]
    slow.lose_submission()
    slow.call("GET", f"/jobs/{id}")
    assert slow.endpoint.request(slow.endpoint.submitted[0]).control == SENT


def test_a_cancelled_job_keeps_no_image(slow: World) -> None:
    slow.call("DELETE", f"/jobs/{slow.call('POST', '/jobs', BODY)[1]['id']}")
    assert keys(slow) == []


def test_another_control_image_is_another_request(world: World) -> None:
    headers = {"Idempotency-Key": "click-1"}
    first = world.call("POST", "/jobs", BODY, headers=headers)[1]
    assert world.call("POST", "/jobs", BODY, headers=headers)[1]["id"] == first["id"]
    other = {**BODY, "control": [{**BODY["control"][0], "image": IMAGES[1]}]}
    assert world.call("POST", "/jobs", other, headers=headers)[1]["code"] == "idempotency_mismatch"


def test_the_list_of_models_has_them(world: World) -> None:
    (model,) = world.call("GET", "/models")[1]["models"]
    assert model["controls"] == [
        {"id": "canny", "name": "Edges", "name_in": {"zh-CN": "边缘"}, "scale": 0.5, "preprocess": "canny"},
        {"id": "pose", "name": "pose", "name_in": {"zh-CN": "pose"}, "scale": 1.0, "preprocess": None},
    ]
    assert model["bounds"]["controls"] == {"minimum": 1, "maximum": 2}
    assert model["bounds"]["control_scale"] == {"minimum": 0, "maximum": 2}
    assert (model["bounds"]["control_cost_percent"], model["control_without"]) == (CONTROL_COST_PERCENT, [])


def test_the_list_of_models_says_what_goes_with_them() -> None:
    limits: dict[str, Any] = {"most_controls": 1, "control_cost_percent": 15, "control_without": ("hires", "range")}
    world = World(replace(WITH_CONTROLS, **limits))
    (model,) = world.call("GET", "/models")[1]["models"]
    assert model["bounds"]["controls"] == {"minimum": 1, "maximum": 1}
    assert (model["bounds"]["control_cost_percent"], model["control_without"]) == (15, ["hires", "range"])
    schema = world.call("GET", "/openapi.json")[1]["components"]["schemas"]["GenerationRequest"]
    assert schema["properties"]["control"]["oneOf"][0]["maxItems"] == 1
    status, body = world.call("POST", "/generate", {**BODY, "control": BODY["control"][:1]})
    assert (status, body["code"], body["error"]["param"]) == (400, "not_supported", "control[0].end")
    unit = {"model": "pose", "image": IMAGES[0]}
    assert json.loads(world.call("POST", "/sdapi/v1/txt2img", units(unit, unit))[1]["info"])["warnings"]


def units(*args: Any, **fields: Any) -> dict[str, Any]:
    return {"prompt": "a red apple", "alwayson_scripts": {"ControlNet": {"args": [*args]}}, **fields}


def test_automatic1111(world: World) -> None:
    data_url = f"data:image/png;base64,{IMAGES[1]}"
    first = {"model": "control_v11p_sd15_canny [d14c016b]", "module": "canny", "image": {"image": data_url}}
    second = {"model": "pose", "input_image": IMAGES[0], "weight": 1.5, "guidance_start": 0.1, "guidance_end": 0.5}
    off = {"model": "pose", "enabled": False}
    status, body = world.call("POST", "/sdapi/v1/txt2img", units(first, off, {"model": "None"}, second))
    assert status == 200, body
    assert world.endpoint.request(world.endpoint.submitted[-1]).control == (
        Control(id="canny", image=IMAGES[1], scale=0.5, preprocess="canny"),
        Control(id="pose", image=IMAGES[0], scale=1.5, start=0.1, end=0.5),
    )
    info = json.loads(body["info"])
    assert info["warnings"] == []
    unit = "Module: canny, Model: canny, Weight: 0.5, Guidance Start: 0, Guidance End: 1"
    assert f'ControlNet 0: "{unit}"' in info["infotexts"][0]
    assert IMAGES[1] not in body["info"] and IMAGES[1] not in json.dumps(body["parameters"])


def test_automatic1111_uses_the_init_image_and_warns_of_what_it_changes(world: World) -> None:
    unit = {"model": "Edges", "weight": 3, "control_mode": 1, "processor_res": 512, "pixel_perfect": True}
    module = {"module": "reference_only"}
    sent = units(unit, module, {"model": "pose", "image": IMAGES[0]}, {"model": "other"}, init_images=[IMAGES[1]])
    _, body = world.call("POST", "/sdapi/v1/img2img", sent)
    (canny, pose) = world.endpoint.request(world.endpoint.submitted[-1]).control or ()
    assert (canny.image, canny.scale, pose.id) == (IMAGES[1], 2.0, "pose")
    assert len(json.loads(body["info"])["warnings"]) == 4


@pytest.mark.parametrize(
    ("unit", "code"),
    [
        ({"model": "depth", "image": IMAGES[0]}, "unknown_value"),
        ({"model": "pose", "module": "openpose_full", "image": IMAGES[0]}, "not_supported"),
        ({"model": "pose", "module": "canny", "image": IMAGES[0]}, "not_supported"),
        ({"model": "pose"}, "missing_field"),
        ({"model": "pose", "image": "x"}, "bad_image"),
        ({"model": "pose", "image": IMAGES[0], "guidance_start": 1}, "out_of_range"),
        ("pose", "wrong_type"),
    ],
)
def test_automatic1111_refuses(world: World, unit: Any, code: str) -> None:
    status, body = world.call("POST", "/sdapi/v1/txt2img", units(unit))
    assert (status, body["errors"]) == (422, code)


def test_a_model_without_controls_refuses_units() -> None:
    status, body = World().call("POST", "/sdapi/v1/txt2img", units({"model": "canny", "image": IMAGES[0]}))
    assert (status, body["errors"]) == (422, "unknown_value")
    assert World().call("POST", "/sdapi/v1/txt2img", units())[0] == 200
