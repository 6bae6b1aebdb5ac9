"""The contract's `images`: fields, sizes, and both ends of every bound."""

import base64
import dataclasses
import io
import json
import tracemalloc
from hashlib import sha256
from typing import Any

import pytest
from PIL import Image, ImageOps

import contract
from contract import EDIT_PIXELS, EDITS, INIT_IMAGE_BYTES, SIDE, EaselError, GenerationRequest, ModelProfile
from tests.test_contract import PROFILE, png, png_of

EDITOR = dataclasses.replace(
    PROFILE, name="Editor", image_to_image=False, edits=EDITS.maximum, sizes=((1024, 1024),), max_side=1536,
    max_pixel_steps=10**12,
)  # fmt: skip


def parse(images: Any, profile: ModelProfile = EDITOR, **fields: Any) -> GenerationRequest:
    return contract.parse_request(json.dumps({"prompt": "a", "images": images, **fields}), profile, lambda: 7)


def refusal(images: Any, profile: ModelProfile = EDITOR, **fields: Any) -> EaselError:
    with pytest.raises(EaselError) as caught:
        parse(images, profile, **fields)
    return caught.value


def padded(size: int) -> str:
    file = base64.b64decode(png_of(64, 64))
    return base64.b64encode(file.ljust(size, b"\0")).decode()


@pytest.mark.parametrize("count", [EDITS.minimum, EDITS.maximum])
def test_images_survive_a_round_trip_in_their_order(count: int) -> None:
    images = [png_of(64 + 8 * i, 64) for i in range(count)]
    request = parse(images)
    assert request.images == tuple(images)
    assert contract.parse_request(contract.render_request(request), EDITOR) == request
    assert images[0] not in repr(request)
    hashes = [f"sha256:{sha256(base64.b64decode(image)).hexdigest()}" for image in images]
    hashed = contract.without_image(request)
    assert hashed.images == tuple(hashes)
    assert contract.with_images(hashed, contract.sent_images(request)) == request


@pytest.mark.parametrize("sent", [None, []])
@pytest.mark.parametrize("profile", [PROFILE, EDITOR], ids=["other model", "editor"])
def test_no_images_are_none(sent: Any, profile: ModelProfile) -> None:
    request = parse(sent, profile)
    assert (request.images, request.width) == (None, profile.sizes[0][0])


@pytest.mark.parametrize(
    ("image", "size"),
    [
        ((1024, 1024), (1024, 1024)),
        ((64, 64), (64, 64)),
        ((100, 79), (96, 64)),
        ((513, 512), (512, 512)),
        ((2048, 2048), (1024, 1024)),
        ((4096, 3072), (1168, 880)),
        ((3000, 1000), (1536, 512)),
        ((512, 64), (512, 64)),
        ((4096, 512), (1536, 192)),
    ],
)
def test_the_size_follows_the_first_image(image: tuple[int, int], size: tuple[int, int]) -> None:
    request = parse([png_of(*image), png_of(64, 512)])
    assert (request.width, request.height) == size == contract.edit_size(image, EDITOR)
    turned = parse([png_of(*image[::-1])])
    assert (turned.width, turned.height) == size[::-1]
    assert parse([png_of(*image)], width=512).width == 512


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [*range(1, 9), 9, 77])
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_size_is_that_of_the_upright_image(kind: Any, orientation: int, order: str) -> None:
    exif = Image.Exif()
    exif.endian = order
    exif[0x010E], exif[0x0112] = "a panda", orientation
    file = io.BytesIO()
    Image.new("RGB", (96, 64)).save(file, kind, exif=exif)
    assert contract.upright_size(file.getvalue()) == ImageOps.exif_transpose(Image.open(file)).size


def test_too_many_images_are_refused() -> None:
    single, double = (dataclasses.replace(EDITOR, edits=edits) for edits in (1, 2))
    assert parse([png_of(64, 64)] * 2, double).images
    error = refusal([png_of(64, 64)] * 2, single)
    assert (error.code, error.param) == ("out_of_range", "images")
    assert refusal([png_of(64, 64)] * (EDITS.maximum + 1)).param == "images"


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (7, "wrong_type"),
        (None, "wrong_type"),
        ({"url": "https://example.com/a.png"}, "wrong_type"),
        ("?", "bad_image"),
        ("data:image/png;base64,AAAA", "bad_image"),
        (base64.b64encode(b"GIF89a").decode(), "bad_image"),
        (base64.b64encode(b"\0\0\0\x18ftypheic").decode(), "bad_image"),
        (png(size=INIT_IMAGE_BYTES + 1), "out_of_range"),
        (png_of(4096, 4097), "out_of_range"),
        (png_of(SIDE.minimum - 1, 64), "out_of_range"),
        (png_of(64, 8 * 64 + 1), "out_of_range"),
        (png_of(8 * 64 + 1, 64), "out_of_range"),
    ],
)
def test_each_image_is_checked_and_named(image: Any, code: str) -> None:
    good = png_of(4096, 4096)
    error = refusal([good, image, good])
    assert (error.code, error.param) == (code, "images[1]")
    assert error.hint


@pytest.mark.parametrize("sent", ["iVBO", {}, 7, True])
def test_images_are_a_list(sent: Any) -> None:
    assert (refusal(sent).code, refusal(sent).param) == ("wrong_type", "images")


def test_all_images_share_the_largest_size() -> None:
    half = INIT_IMAGE_BYTES // 2
    assert parse([padded(half), padded(half)]).images
    error = refusal([padded(half), padded(half + 1)])
    assert (error.code, error.param) == ("out_of_range", "images")
    assert str(INIT_IMAGE_BYTES) in error.hint


def test_the_largest_prompts_and_images_fit_the_body() -> None:
    prompts = ["熊" * contract.PROMPT_CHARS.maximum] * contract.PROMPTS.maximum
    images = [padded(INIT_IMAGE_BYTES // EDITS.maximum) for _ in range(EDITS.maximum)]
    body = json.dumps({"prompt": prompts, "images": images}, ensure_ascii=False).encode()
    assert contract.parse_request(body, EDITOR).image_count == contract.PROMPTS.maximum


def test_other_models_refuse_images_and_say_what_to_do() -> None:
    error = refusal([png_of(64, 64)], PROFILE)
    assert (error.code, error.param) == ("not_supported", "images")
    assert "init_image" in error.hint
    assert "init_image" not in refusal([png_of(64, 64)], dataclasses.replace(PROFILE, image_to_image=False)).hint
    with pytest.raises(EaselError) as caught:
        contract.parse_request(json.dumps({"prompt": "a", "init_image": png()}), EDITOR)
    assert (caught.value.code, caught.value.param) == ("not_supported", "init_image")
    assert "images" in caught.value.hint


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"init_image": png()}, "not_supported", "images"),
        ({"init_image": png(), "mask_image": png()}, "not_supported", "images"),
        ({"init_image": png(), "outpaint": {"left": 8}}, "not_supported", "images"),
        ({"hires": {}}, "not_supported", "hires"),
        ({"control": [{"id": "canny", "image": png()}]}, "not_supported", "control"),
        ({"strength": 0.5}, "missing_field", "init_image"),
        ({"mask_image": png()}, "missing_field", "init_image"),
    ],
)
def test_images_stand_alone(fields: dict[str, Any], code: str, param: str) -> None:
    controls = (contract.ProfileControl(id="canny"),)
    error = refusal([png_of(64, 64)], dataclasses.replace(EDITOR, image_to_image=True, controls=controls), **fields)
    assert (error.code, error.param) == (code, param)


@pytest.mark.parametrize("count", [1, 2, EDITS.maximum])
def test_images_count_in_the_budget(count: int) -> None:
    images, work = [png_of(64, 64)] * count, (64 * 64 + count * EDIT_PIXELS) * 20 * 2
    exact, less = (dataclasses.replace(EDITOR, max_pixel_steps=limit) for limit in (work, work - 1))
    request = parse(images, exact, num_images_per_prompt=2, num_inference_steps=20)
    assert request.pixel_steps(exact) == contract.without_image(request).pixel_steps(exact) == work
    error = refusal(images, less, num_images_per_prompt=2, num_inference_steps=20)
    assert error.code == "job_too_large"
    assert str(EDIT_PIXELS) in error.hint


def test_an_image_of_the_largest_size_is_not_decoded() -> None:
    file = io.BytesIO()
    Image.new("RGB", (4096, 4096)).save(file, "PNG")
    body = json.dumps({"prompt": "a", "images": [base64.b64encode(file.getvalue()).decode()] * EDITS.maximum})
    tracemalloc.start()
    contract.parse_request(body, EDITOR)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000
