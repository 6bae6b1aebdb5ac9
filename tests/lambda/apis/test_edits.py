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
    slow.lose_submission()
    slow.call("GET", f"/jobs/{id}")
    assert slow.endpoint.request(slow.endpoint.submitted[0]).images == tuple(IMAGES)


@pytest.mark.parametrize("damaged", [None, b"", b"\xff\xfe", IMAGES[0].encode(), b"\n"])
def test_images_that_are_missing_or_damaged_end_the_job(slow: World, damaged: bytes | None) -> None:
    id = slow.call("POST", "/jobs", EDIT)[1]["id"]
    ticket = slow.lose_submission("input-images")
    if damaged is not None:
        slow.store.objects[ticket.key("input-images")] = damaged
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
    schema = document((EDITOR,))["components"]["schemas"]["GenerationRequest"]
    validator = jsonschema_rs.Draft202012Validator(schema)
    assert validator.is_valid({"prompt": "a", "images": images}) is valid


# --- compatible APIs -----------------------------------------------------------------------------

FILES = [base64.b64decode(image) for image in IMAGES]
URLS = [f"data:image/png;base64,{image}" for image in IMAGES]


def sent_request(world: World, response: tuple[int, Any]) -> contract.GenerationRequest:
    assert response[0] in (200, 201), response
    return world.endpoint.request(world.endpoint.submitted[-1])


def edit_form(names: list[str], fields: dict[str, str], files: list[bytes], mask: bool = False) -> dict[str, Any]:
    """Return the event of a form of OpenAI's clients."""
    parts = [(f'name="{name}"', text.encode()) for name, text in fields.items()]
    parts += [(f'name="{name}"; filename="a.png"', file) for name, file in zip(names, files, strict=True)]
    parts += [('name="mask"; filename="m.png"', files[0])] if mask else []
    body = b"".join(
        b"--b\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + content + b"\r\n"
        for head, content in parts
    )
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    sent = event("POST", "/v1/images/edits", base64.b64encode(body + b"--b--\r\n").decode(), headers=headers)
    return {**sent, "isBase64Encoded": True}


@pytest.mark.parametrize("names", [["image[]", "image[]"], ["image[0]", "image[1]"], ["image", "image"]])
@pytest.mark.parametrize(("size", "expected"), [(None, (96, 64)), ("auto", (96, 64)), ("128x64", (128, 64))])
def test_openai(world: World, names: list[str], size: str | None, expected: tuple[int, int]) -> None:
    response = world.send(edit_form(names, {"prompt": "a", **({"size": size} if size else {})}, FILES))
    assert response["statusCode"] == 200, response["body"]
    request = world.endpoint.request(world.endpoint.submitted[0])
    assert (request.images, (request.width, request.height)) == (tuple(IMAGES), expected)


def test_openai_refuses_a_mask_too_many_images_and_bad_ones(world: World) -> None:
    def error(*sent: Any, **more: Any) -> Any:
        response = world.send(edit_form(*sent, **more))
        assert response["statusCode"] == 400
        return json.loads(response["body"])["error"]

    assert error(["image"], {"prompt": "a"}, FILES[:1], mask=True)["param"] == "mask"
    most = FILES[:1] * (EDITS.maximum + 1)
    assert error(["image[]"] * len(most), {"prompt": "a"}, most)["param"] == "image"
    bad = error(["image[]"] * 2, {"prompt": "a"}, [FILES[0], b"GIF89a"])
    assert bad["param"] == "image[1]"
    assert bad["message"].startswith("Image[1] ")
    assert world.endpoint.submitted == []


@pytest.mark.parametrize(
    ("inputs", "images"),
    [
        ({"input_images": URLS}, IMAGES),
        ({"image_input": URLS}, IMAGES),
        ({"images": URLS}, IMAGES),
        ({"image": URLS}, IMAGES),
        ({"image": URLS[1]}, IMAGES[1:]),
        ({"input_image": URLS[0]}, IMAGES[:1]),
        ({"image": URLS[0], "input_images": URLS[1:]}, IMAGES),
    ],
)
def test_replicate(world: World, inputs: dict[str, Any], images: list[str]) -> None:
    call = {"input": {"prompt": "a", "aspect_ratio": "match_input_image", **inputs}}
    response = world.call("POST", "/v1/predictions", call)
    request = sent_request(world, response)
    size = (96, 64) if images[0] == IMAGES[0] else (64, 64)
    assert (request.images, (request.width, request.height)) == (tuple(images), size)
    assert response[1]["input"]["input_images"][0].startswith("sha256:")


def test_replicate_names_the_input_that_is_wrong(world: World) -> None:
    bad = [URLS[0], f"data:image/png;base64,{base64.b64encode(b'GIF89a').decode()}"]
    status, body = world.call("POST", "/v1/predictions", {"input": {"prompt": "a", "input_images": bad}})
    assert (status, body["invalid_fields"][0]["field"]) == (422, "input.input_images[1]")
    link = {"input": {"prompt": "a", "input_images": ["https://example.com/a.png"]}}
    assert world.call("POST", "/v1/predictions", link)[1]["code"] == "bad_image"
    status, body = World(replace(PROFILE, image_to_image=True)).call(
        "POST", "/v1/predictions", {"input": {"prompt": "a", "input_images": URLS}}
    )
    assert (status, body["code"], body["invalid_fields"][0]["field"]) == (422, "not_supported", "input.input_images")


def test_one_input_image_starts_a_model_that_looks_at_none() -> None:
    world = World(replace(PROFILE, image_to_image=True))
    response = world.call("POST", "/v1/predictions", {"input": {"prompt": "a", "input_images": URLS[:1]}})
    assert sent_request(world, response).init_image == IMAGES[0]


def test_hugging_face(world: World) -> None:
    sent = {"inputs": IMAGES[0], "parameters": {"prompt": "a", "strength": 0.5}}
    response = world.send(event("POST", "/hf/image-to-image", sent))
    request = sent_request(world, (response["statusCode"], None))
    assert (request.images, request.width, request.height) == ((IMAGES[0],), 96, 64)
    assert "strength" in response["headers"]["x-warnings"]
    sized = {"inputs": IMAGES[0], "parameters": {"prompt": "a", "target_size": {"width": 64, "height": 128}}}
    request = sent_request(world, (world.send(event("POST", "/hf/image-to-image", sized))["statusCode"], None))
    assert (request.width, request.height) == (64, 128)


def test_automatic1111(world: World) -> None:
    sent = {"prompt": "a", "init_images": IMAGES, "denoising_strength": 0.75}
    response = world.call("POST", "/sdapi/v1/img2img", sent)
    request = sent_request(world, response)
    assert (request.images, request.width, request.height) == (tuple(IMAGES), 96, 64)
    info = json.loads(response[1]["info"])
    assert f"Images: {HASHES[0][7:17]} {HASHES[1][7:17]}" in info["infotexts"][0]
    bad = {**sent, "init_images": [IMAGES[0], base64.b64encode(b"GIF89a").decode()]}
    status, body = world.call("POST", "/sdapi/v1/img2img", bad)
    assert (status, body["errors"]) == (422, "bad_image")
    assert body["detail"].startswith("Init_images[1] ")
