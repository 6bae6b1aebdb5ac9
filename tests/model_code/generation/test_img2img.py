"""Image to image: which files are accepted, how they are fitted, and every family of pipelines."""

import base64
import io
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

import contract
from contract import EaselError, render_profile
from generation import generate, img2img
from generation.gpu_memory import GpuMemory
from generation.img2img import read_init_image
from loading import load
from model_folder import PIPELINES
from tests.model_code import fakes, tiny
from tests.model_code.conftest import PROFILE

ROOT = Path(__file__).parents[3]
FakeModel = Callable[..., Any]
Send = Callable[..., Any]


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> str:
    """Return base64 of a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return base64.b64encode(file.getvalue()).decode()


def red(mode: str = "RGB", size: tuple[int, int] = (32, 32)) -> Image.Image:
    return Image.new("RGB", size, (250, 0, 0)).convert(mode)


def first_pixel(init_image: str, width: int = 8, height: int = 8) -> tuple[int, ...]:
    image = read_init_image(init_image, width, height).image
    assert (image.mode, image.size) == ("RGB", (width, height))
    color = image.getpixel((0, 0))
    assert isinstance(color, tuple)
    return color


def is_red(color: tuple[int, ...]) -> bool:
    return all(abs(value - expected) < 12 for value, expected in zip(color, (250, 0, 0), strict=True))


def error_of(init_image: str) -> EaselError:
    with pytest.raises(EaselError) as caught:
        read_init_image(init_image, 8, 8)
    assert caught.value.param == "init_image"
    return caught.value


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_every_format_is_accepted(kind: str) -> None:
    assert is_red(first_pixel(encode(red(), kind)))


@pytest.mark.parametrize(("mode", "kind"), [("P", "PNG"), ("CMYK", "JPEG"), ("RGBA", "WEBP")])
def test_every_color_mode_becomes_rgb(mode: str, kind: str) -> None:
    assert is_red(first_pixel(encode(red(mode), kind)))


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_gray_stays_gray(mode: str) -> None:
    assert len(set(first_pixel(encode(red(mode))))) == 1


def test_transparent_pixels_become_white() -> None:
    assert first_pixel(encode(Image.new("RGBA", (8, 8), (255, 0, 0, 0)))) == (255, 255, 255)
    palette = Image.new("P", (8, 8))
    palette.putpalette([9, 9, 9])
    assert first_pixel(encode(palette, transparency=0)) == (255, 255, 255)


def test_exif_rotation_is_applied() -> None:
    half = Image.new("RGB", (32, 16), "white")
    half.paste("black", (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate clockwise: the left side becomes the top
    pixels = np.asarray(read_init_image(encode(half, "JPEG", exif=exif), 16, 32).image)
    assert pixels[:14].mean() < 10 and pixels[18:].mean() > 245


def test_more_than_eight_bits_are_refused() -> None:
    assert error_of(encode(Image.new("I;16", (8, 8)))).code == "bad_image"


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_is_refused(kind: str) -> None:
    frames = [red(), Image.new("RGB", (32, 32), "blue")]
    error = error_of(encode(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert error.code == "bad_image" and "animated" in error.message


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_a_truncated_file_is_refused(kind: str, part: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    file = base64.b64decode(encode(noise, kind))
    truncated = file[: int(len(file) * part)]
    assert contract.image_size(truncated) == (64, 64)  # the header is complete, so the API accepts it
    assert error_of(base64.b64encode(truncated).decode()).code == "bad_image"


def test_too_many_pixels_are_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """In case the contract reads another size from the header."""
    bomb = encode(Image.new("1", (64, 65)))
    monkeypatch.setattr(img2img, "INIT_IMAGE_PIXELS", 64 * 64)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    assert error_of(bomb).code == "out_of_range"


def test_junk_after_a_valid_header_is_refused() -> None:
    header = base64.b64decode(encode(Image.effect_noise((64, 64), 99), "WEBP", lossless=True))[:40]
    for file in (header + b"junk" * 200, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x08\0\0\0\x08" + bytes(50)):
        assert error_of(base64.b64encode(file).decode()).code == "bad_image"


# --- fitting -------------------------------------------------------------------------------------


def test_a_wider_image_is_cropped_to_its_center_with_a_warning() -> None:
    wide = Image.new("RGB", (96, 32), "white")
    wide.paste("black", (32, 0, 64, 32))
    init_image = read_init_image(encode(wide), 32, 32)
    assert np.asarray(init_image.image).max() == 0
    assert init_image.warnings == ("init_image has 96x32 pixels; it was cropped to the proportions of 32x32.",)
    assert read_init_image(encode(red(size=(65, 64))), 32, 32).warnings == ()


def test_warnings_of_the_file_and_of_the_crop_are_both_reported() -> None:
    warnings = read_init_image(encode(red(size=(96, 32)), icc_profile=b"junk"), 32, 32).warnings
    assert [("profile" in warning, "cropped" in warning) for warning in warnings] == [(True, False), (False, True)]


@pytest.mark.parametrize("size", [(1, 1), (20_000, 1), (1, 20_000)])
def test_an_image_of_any_proportions_is_fitted(size: tuple[int, int]) -> None:
    assert is_red(first_pixel(encode(red(size=size)), 64, 2048))


# --- generation ----------------------------------------------------------------------------------


def generated(response: Any) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(response["generated_images"][0])))


def difference(response: Any, image: Image.Image) -> float:
    output = generated(response)
    assert output.size == image.size
    return float(np.abs(np.asarray(output, float) - np.asarray(image, float)).mean())


@pytest.fixture
def img2img_model(model: Any) -> Any:
    model.profile = replace(PROFILE, image_to_image=True)
    return model


def test_strength_sets_how_much_of_the_image_is_replaced(img2img_model: Any, send: Send) -> None:
    """A lower strength stays closer to what the autoencoder alone makes of the image."""
    settings = {"init_image": encode(generated(send(img2img_model, seed=3))), "num_inference_steps": 20}
    weak, strong = (send(img2img_model, **settings, strength=strength) for strength in (0.05, 1))
    assert weak["generated_images"] != strong["generated_images"]
    kept = generated(send(img2img_model, **settings, strength=0.01, seed=8))
    assert difference(weak, kept) < difference(strong, kept)


def test_the_same_seed_and_image_give_the_same_result(img2img_model: Any, send: Send) -> None:
    settings = {"init_image": encode(red()), "prompt": ["a", "b"]}
    first = send(img2img_model, **settings)
    assert first == {**send(img2img_model, **settings), "timings": first["timings"]}
    assert first["parameters"]["init_image"].startswith("sha256:")
    single = send(img2img_model, **settings | {"prompt": "b", "seed": 8})
    assert single["generated_images"] == first["generated_images"][1:]


def test_the_loaded_pipeline_is_not_changed(img2img_model: Any, send: Send) -> None:
    before = send(img2img_model)["generated_images"]
    scheduler, components = img2img_model.pipeline.scheduler, dict(img2img_model.pipeline.components)
    send(img2img_model, init_image=encode(red()), scheduler="euler")
    assert img2img_model.pipeline.scheduler is scheduler and img2img_model.pipeline.components == components
    assert send(img2img_model)["generated_images"] == before


@pytest.mark.parametrize(
    ("family", "scheduler"),
    [
        (tiny.stable_diffusion, "ddim"),
        (tiny.stable_diffusion, "dpmpp_2m"),
        (tiny.stable_diffusion_xl, "euler"),
        (tiny.z_image, "flow_euler"),
        (tiny.flux, "flow_euler"),
    ],
)
def test_every_family_runs_the_counted_steps(family: Callable[[], Any], scheduler: str) -> None:
    """7 of 49: the product of 49 and 7/49 is not a whole number in floating point."""
    profile = replace(PROFILE, scheduler=scheduler, schedulers=(scheduler,), image_to_image=True)
    model = generate.Model(family(), profile, grid=16, batch_size=2, memory=GpuMemory())
    model.pipeline.set_progress_bar_config(disable=True)
    for steps, strength, expected in [(49, 7 / 49, 7), (3, 0.4, 1), (3, 1.0, 3), (4, 0.01, 1)]:
        seen: list[tuple[int, int]] = []
        model.on_step = lambda step, total, seen=seen: seen.append((step, total))
        request = contract.GenerationRequest(
            prompt=("a",), width=72, height=64, num_inference_steps=steps, guidance_scale=4.0, seed=7,
            scheduler=scheduler, init_image=encode(red()), strength=strength,
        )  # fmt: skip
        assert generate.generate(model, request, None).images[0].shape == (64, 72, 3)
        assert (len(seen), seen[-1], request.steps) == (expected, (expected, expected), expected)


def test_pipeline_strength_gives_the_counted_steps_for_every_count() -> None:
    """As the two kinds of `get_timesteps` in diffusers count them."""
    flux, sd = (type(name, (), {})() for name in ("FluxPipeline", "StableDiffusionPipeline"))
    for total in range(1, contract.STEPS.maximum + 1):
        for steps in range(1, total + 1):
            request = contract.GenerationRequest(
                prompt=("a",), width=64, height=64, num_inference_steps=total, guidance_scale=0, seed=0,
                scheduler="ddim", strength=steps / total,
            )  # fmt: skip
            assert request.steps == steps
            assert min(int(total * img2img.pipeline_strength(sd, request)), total) == steps
            skipped = int(max(total - min(total * img2img.pipeline_strength(flux, request), total), 0))
            assert total - skipped == steps
    assert math.isclose(contract.STRENGTH.maximum, 1)


def test_a_model_that_upscales_starts_at_its_own_size(img2img_model: Any, send: Send) -> None:
    img2img_model.profile = replace(img2img_model.profile, upscales=True)
    response = send(img2img_model, init_image=encode(red(size=(128, 128))), width=128, height=128)
    assert generated(response).size == (128, 128)
    assert len(response["warnings"]) == 1


def test_a_damaged_image_is_an_error_response(img2img_model: Any, send: Send) -> None:
    truncated = base64.b64encode(base64.b64decode(encode(red()))[:60]).decode()
    assert send(img2img_model, init_image=truncated)["error"]["code"] == "bad_image"


def test_a_pipeline_without_image_to_image_refuses_an_init_image(fake_model: FakeModel, send: Send) -> None:
    """One model has a wrong profile, the other a correct profile."""
    wrong_profile = fake_model(lambda *_: pytest.fail("generated"), image_to_image=True)
    for model in (wrong_profile, fake_model(fakes.grey)):
        error = send(model, init_image=encode(red()))["error"]
        assert (error["code"], error["param"]) == ("not_supported", "init_image")


def test_the_table_has_known_classes() -> None:
    assert set(img2img.PIPELINES) <= set(PIPELINES)


@pytest.mark.parametrize("path", sorted((ROOT / "models").glob("*.json")), ids=lambda path: path.stem)
def test_the_catalogue_agrees_with_the_table(path: Path) -> None:
    entry = json.loads(path.read_text())
    assert entry.get("image_to_image", False) is (entry["pipeline"] in img2img.PIPELINES)


def test_a_derived_profile_has_image_to_image(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EASEL_MODEL_PROFILE", raising=False)
    model = load.load_model(folder)
    assert model.profile.image_to_image
    assert "image_to_image" in render_profile(model.profile)
