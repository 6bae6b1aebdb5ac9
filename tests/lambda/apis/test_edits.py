"""`images` of a request in every API: how they reach the container, are stored, and are deleted."""

import base64
import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

import jsonschema_rs
import pytest
from fakes import PROFILE, World, event

import contract
from contract import EDIT_PIXELS, EDITS
from jobs.lifecycle import SUBMIT_GRACE_S
from routes.openapi import document

EDITOR = replace(PROFILE, image_to_image=False, edits=EDITS.maximum, max_pixel_steps=10**9)


def png_of(width: int, height: int) -> str:
    """Return base64 of what `image_size` takes for a PNG."""
    header = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return base64.b64encode(b"\x89PNG\r\n\x1a\n\0\0\0\r" + header).decode()


IMAGES = [png_of(96, 64), png_of(64, 64)]
EDIT = {"prompt": "put the hat on the cat", "images": IMAGES}
HASHES = [f"sha256:{sha256(base64.b64decode(image)).hexdigest()}" for image in IMAGES]


@pytest.fixture
def world() -> World:
    return World(EDITOR)


@pytest.fixture
def slow() -> World:
    """A world whose endpoint generates nothing until a test says so."""
    world = World(EDITOR)
    world.clock.while_sleeping = lambda: None
    return world


def stored_inputs(world: World) -> list[str]:
    return [key for key in world.store.objects if key.endswith(("request.json", "input-images"))]


# --- the native API ------------------------------------------------------------------------------


def test_the_images_reach_the_container_and_no_response(world: World) -> None:
    status, body = world.call("POST", "/generate", EDIT)
    ticket = world.endpoint.submitted[0]
    assert (status, world.endpoint.request(ticket).images) == (200, tuple(IMAGES))
    job, recent = (world.call("GET", path)[1] for path in (f"/jobs/{body['id']}", "/jobs"))
    assert not any(image in json.dumps([job, recent]) for image in IMAGES)
    assert len(world.store.objects[ticket.key("job.json")]) < 1000


def test_a_waiting_job_shows_hashes_and_the_size_of_the_first(slow: World) -> None:
    parameters = slow.call("POST", "/jobs", EDIT)[1]["parameters"]
    assert (parameters["images"], parameters["width"], parameters["height"]) == (HASHES, 96, 64)


def test_a_job_whose_creator_died_is_submitted_with_its_images(slow: World) -> None:
    id = slow.call("POST", "/jobs", EDIT)[1]["id"]
    ticket = slow.endpoint.submitted.pop()
    for name in ("request.json", "submitted.json"):
        slow.store.delete(ticket.key(name))
    slow.clock.time += SUBMIT_GRACE_S + 1
    slow.call("GET", f"/jobs/{id}")
    assert slow.endpoint.request(slow.endpoint.submitted[0]).images == tuple(IMAGES)


@pytest.mark.parametrize("damaged", [None, b"", b"\xff\xfe", IMAGES[0].encode(), b"\n"])
def test_images_that_are_missing_or_damaged_end_the_job(slow: World, damaged: bytes | None) -> None:
    id = slow.call("POST", "/jobs", EDIT)[1]["id"]
    ticket = slow.endpoint.submitted.pop()
    for name in ("request.json", "submitted.json", "input-images"):
        slow.store.delete(ticket.key(name))
    if damaged is not None:
        slow.store.objects[ticket.key("input-images")] = damaged
    slow.clock.time += SUBMIT_GRACE_S + 1
    slow.call("GET", f"/jobs/{id}")
    assert slow.call("GET", f"/jobs/{id}")[1]["error"]["code"] == "input_missing"


def test_a_cancelled_job_keeps_no_images(slow: World) -> None:
    id = slow.call("POST", "/jobs", EDIT)[1]["id"]
    assert len(stored_inputs(slow)) == 2
    slow.call("DELETE", f"/jobs/{id}")
    assert stored_inputs(slow) == []


def test_other_images_are_another_request(world: World) -> None:
    headers = {"Idempotency-Key": "click-1"}
    first = world.call("POST", "/jobs", EDIT, headers=headers)[1]
    assert world.call("POST", "/jobs", EDIT, headers=headers)[1]["id"] == first["id"]
    other = {**EDIT, "images": IMAGES[::-1]}
    assert world.call("POST", "/jobs", other, headers=headers)[0] == 409


def test_models_say_how_many_images_they_take(world: World) -> None:
    (model,) = world.call("GET", "/models")[1]["models"]
    assert (model["edits"], model["bounds"]["edit_pixels"]) == (EDITS.maximum, EDIT_PIXELS)
    assert World().call("GET", "/models")[1]["models"][0]["edits"] == 0


def test_another_model_refuses_images() -> None:
    status, body = World().call("POST", "/generate", EDIT)
    assert (status, body["code"], body["error"]["param"]) == (400, "not_supported", "images")


@pytest.mark.parametrize("more", [0, 1])
def test_bound_of_the_body_with_images(world: World, more: int) -> None:
    body = json.dumps(EDIT)
    padded = body[:-1] + " " * (contract.BODY_BYTES.maximum - len(body) + more) + "}"
    status = world.send(event("POST", "/generate", padded))["statusCode"]
    assert status == (413 if more else 200)


@pytest.mark.parametrize(
    ("images", "valid"),
    [
        (IMAGES, True),
        ([], True),
        (None, True),
        (IMAGES[:1] * EDITS.maximum, True),
        (IMAGES[:1] * (EDITS.maximum + 1), False),
        ([7], False),
        ("a", False),
    ],
)
def test_the_document_describes_images(images: Any, valid: bool) -> None:
    schema = document(EDITOR)["components"]["schemas"]["GenerationRequest"]
    validator = jsonschema_rs.Draft202012Validator(schema)
    assert validator.is_valid({"prompt": "a", "images": images}) is valid
