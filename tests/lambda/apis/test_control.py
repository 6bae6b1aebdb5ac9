"""ControlNets in every API, on fakes."""

import base64
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from fakes import PROFILE, World

from contract import CONTROL_COST_PERCENT, Control, ProfileControl
from jobs.lifecycle import SUBMIT_GRACE_S

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
    ticket = slow.endpoint.submitted.pop()
    for name in ("request.json", "submitted.json"):
        slow.store.delete(ticket.key(name))
    slow.clock.time += SUBMIT_GRACE_S + 1
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
    assert model["bounds"]["control_cost_percent"] == CONTROL_COST_PERCENT
