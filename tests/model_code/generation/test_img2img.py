"""Image to image: what is taken, how it is fitted, and that every family starts from it."""

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
from generation import generate as drawing
from generation import img2img
from loading import load as loading
from tests.model_code import fakes, tiny
from tests.model_code.conftest import PROFILE

ROOT = Path(__file__).parents[3]
Fake = Callable[..., Any]
Ask = Callable[..., Any]


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> str:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return base64.b64encode(file.getvalue()).decode()


def red(mode: str = "RGB", size: tuple[int, int] = (32, 32)) -> Image.Image:
    return Image.new("RGB", size, (250, 0, 0)).convert(mode)


def corner(init_image: str, width: int = 8, height: int = 8) -> tuple[int, ...]:
    start = img2img.read(init_image, width, height)
    assert (start.picture.mode, start.picture.size) == ("RGB", (width, height))
    colour = start.picture.getpixel((0, 0))
    assert isinstance(colour, tuple)
    return colour


def refusal(init_image: str) -> EaselError:
    with pytest.raises(EaselError) as caught:
        img2img.read(init_image, 8, 8)
    assert caught.value.param == "init_image"
    return caught.value


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_every_format_is_taken(kind: str) -> None:
    assert all(abs(a - b) < 12 for a, b in zip(corner(encoded(red(), kind)), (250, 0, 0), strict=True))


@pytest.mark.parametrize(("mode", "kind"), [("P", "PNG"), ("CMYK", "JPEG"), ("RGBA", "WEBP")])
def test_every_colour_mode_becomes_rgb(mode: str, kind: str) -> None:
    assert all(abs(a - b) < 12 for a, b in zip(corner(encoded(red(mode), kind)), (250, 0, 0), strict=True))


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_grey_is_grey(mode: str) -> None:
    assert len(set(corner(encoded(red(mode))))) == 1


def test_what_is_transparent_is_white() -> None:
    assert corner(encoded(Image.new("RGBA", (8, 8), (255, 0, 0, 0)))) == (255, 255, 255)
    palette = Image.new("P", (8, 8))
    palette.putpalette([9, 9, 9])
    assert corner(encoded(palette, transparency=0)) == (255, 255, 255)


def test_a_photograph_stands_upright() -> None:
    half = Image.new("RGB", (32, 16), "white")
    half.paste("black", (0, 0, 16, 16))
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned clockwise: its left is the top
    seen = np.asarray(img2img.read(encoded(half, "JPEG", exif=turned), 16, 32).picture)
    assert seen[:14].mean() < 10 and seen[18:].mean() > 245


def test_more_than_eight_bits_are_refused() -> None:
    assert refusal(encoded(Image.new("I;16", (8, 8)))).code == "bad_image"


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_is_refused(kind: str) -> None:
    frames = [red(), Image.new("RGB", (32, 32), "blue")]
    error = refusal(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert (error.code, error.message) == ("bad_image", "init_image is animated")


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_a_file_that_is_cut_off_is_refused(kind: str, part: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    file = base64.b64decode(encoded(noise, kind))
    cut = base64.b64encode(file[: int(len(file) * part)]).decode()
    assert contract.picture_size(base64.b64decode(cut)) == (64, 64)  # its head is whole: the API lets it pass
    assert refusal(cut).code == "bad_image"


def test_a_bomb_is_refused_unopened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should the contract have read another size off its head."""
    bomb = encoded(Image.new("1", (64, 65)))
    monkeypatch.setattr(img2img, "INIT_IMAGE_PIXELS", 64 * 64)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("unpacked"))
    assert refusal(bomb).code == "out_of_range"


def test_junk_behind_a_good_head_is_refused() -> None:
    head = base64.b64decode(encoded(Image.effect_noise((64, 64), 99), "WEBP", lossless=True))[:40]
    for file in (head + b"junk" * 200, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x08\0\0\0\x08" + bytes(50)):
        assert refusal(base64.b64encode(file).decode()).code == "bad_image"


# --- fitting -------------------------------------------------------------------------------------


def test_the_middle_of_a_wider_picture_is_taken_and_told() -> None:
    wide = Image.new("RGB", (96, 32), "white")
    wide.paste("black", (32, 0, 64, 32))
    start = img2img.read(encoded(wide), 32, 32)
    assert np.asarray(start.picture).max() == 0
    assert start.warnings == ("init_image has 96x32 pixels; it was cut to the proportions of 32x32.",)
    assert img2img.read(encoded(red(size=(65, 64))), 32, 32).warnings == ()


# --- drawing -------------------------------------------------------------------------------------


def difference(answer: Any, picture: Image.Image) -> float:
    drawn = Image.open(io.BytesIO(base64.b64decode(answer["generated_images"][0])))
    assert drawn.size == picture.size
    return float(np.abs(np.asarray(drawn, float) - np.asarray(picture, float)).mean())


@pytest.fixture
def painter(model: Any) -> Any:
    model.profile = replace(PROFILE, image_to_image=True)
    return model


def test_strength_says_how_much_is_drawn_anew(painter: Any, ask: Ask) -> None:
    """Less strength is nearer to what the autoencoder alone makes of the picture."""
    start = Image.open(io.BytesIO(base64.b64decode(ask(painter, seed=3)["generated_images"][0])))
    settings = {"init_image": encoded(start), "num_inference_steps": 20}
    little, much = (ask(painter, **settings, strength=strength) for strength in (0.05, 1))
    assert little["generated_images"] != much["generated_images"]
    own = ask(painter, **settings, strength=0.01, seed=8)
    kept = Image.open(io.BytesIO(base64.b64decode(own["generated_images"][0])))
    assert difference(little, kept) < difference(much, kept)


def test_the_same_seed_and_picture_draw_the_same(painter: Any, ask: Ask) -> None:
    settings = {"init_image": encoded(red()), "prompt": ["a", "b"]}
    first = ask(painter, **settings)
    assert first == {**ask(painter, **settings), "timings": first["timings"]}
    assert first["parameters"]["init_image"].startswith("sha256:")
    alone = ask(painter, **settings | {"prompt": "b", "seed": 8})
    assert alone["generated_images"] == first["generated_images"][1:]


def test_the_loaded_pipeline_is_as_it_was(painter: Any, ask: Ask) -> None:
    before = ask(painter)["generated_images"]
    scheduler, components = painter.pipeline.scheduler, dict(painter.pipeline.components)
    ask(painter, init_image=encoded(red()), scheduler="euler")
    assert painter.pipeline.scheduler is scheduler and painter.pipeline.components == components
    assert ask(painter)["generated_images"] == before


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
def test_every_family_runs_the_steps_that_are_counted(family: Callable[[], Any], scheduler: str) -> None:
    """7 of 49: the product of 49 and 7/49 is no whole number in floating point."""
    from generation.gpu_memory import Memory

    profile = replace(PROFILE, scheduler=scheduler, schedulers=(scheduler,), image_to_image=True)
    model = drawing.Model(family(), profile, grid=16, at_once=2, memory=Memory())
    model.pipeline.set_progress_bar_config(disable=True)
    for steps, strength, run in [(49, 7 / 49, 7), (3, 0.4, 1), (3, 1.0, 3), (4, 0.01, 1)]:
        told: list[tuple[int, int]] = []
        model.on_step = lambda step, of, told=told: told.append((step, of))
        request = contract.GenerationRequest(
            prompt=("a",), width=72, height=64, num_inference_steps=steps, guidance_scale=4.0, seed=7,
            scheduler=scheduler, init_image=encoded(red()), strength=strength,
        )  # fmt: skip
        assert drawing.draw(model, request, None).pictures[0].shape == (64, 72, 3)
        assert (len(told), told[-1], request.steps) == (run, (run, run), run)


def test_steps_and_strength_agree_for_every_count() -> None:
    """As the two kinds of `get_timesteps` in diffusers count them."""
    flux, sd = (type(name, (), {})() for name in ("FluxPipeline", "StableDiffusionPipeline"))
    for of in range(1, contract.STEPS.maximum + 1):
        for run in range(1, of + 1):
            request = contract.GenerationRequest(
                prompt=("a",), width=64, height=64, num_inference_steps=of, guidance_scale=0, seed=0,
                scheduler="ddim", strength=run / of,
            )  # fmt: skip
            assert request.steps == run
            assert min(int(of * img2img.strength(sd, request)), of) == run
            assert of - int(max(of - min(of * img2img.strength(flux, request), of), 0)) == run
    assert math.isclose(contract.STRENGTH.maximum, 1)


def test_a_model_that_enlarges_starts_at_its_own_size(painter: Any, ask: Ask) -> None:
    painter.profile = replace(painter.profile, enlarges=True)
    answer = ask(painter, init_image=encoded(red(size=(128, 128))), width=128, height=128)
    assert Image.open(io.BytesIO(base64.b64decode(answer["generated_images"][0]))).size == (128, 128)
    assert answer["warnings"] == ["Tiny draws 64x64; the picture was scaled to 128x128."]


def test_a_broken_picture_is_an_answer(painter: Any, ask: Ask) -> None:
    cut = base64.b64encode(base64.b64decode(encoded(red()))[:60]).decode()
    assert ask(painter, init_image=cut)["error"]["code"] == "bad_image"


def test_a_class_without_image_to_image_says_so(fake: Fake, ask: Ask) -> None:
    """Should a deployment tell otherwise."""
    model = fake(lambda *_: pytest.fail("drawn"), image_to_image=True)
    error = ask(model, init_image=encoded(red()))["error"]
    assert (error["code"], error["param"]) == ("not_supported", "init_image")
    assert ask(fake(fakes.grey), init_image=encoded(red()))["error"]["message"] == "Tiny draws from text alone"


def test_the_table_names_classes_of_diffusers(loaded: Any) -> None:
    import diffusers

    from loading import classes

    assert set(img2img.PIPELINES) <= set(classes.PIPELINES)
    assert all(hasattr(diffusers, name) for name, _ in img2img.PIPELINES.values())


@pytest.mark.parametrize("entry", sorted((ROOT / "models").glob("*.json")), ids=lambda entry: entry.stem)
def test_the_catalogue_says_of_a_class_what_is_true(entry: Path) -> None:
    told = json.loads(entry.read_text())
    assert told.get("image_to_image", False) is (told["pipeline"] in img2img.PIPELINES)


def test_a_folder_alone_tells_that_it_can(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EASEL_MODEL_PROFILE", raising=False)
    model = loading.load(folder)
    assert model.profile.image_to_image
    assert "image_to_image" in render_profile(model.profile)
