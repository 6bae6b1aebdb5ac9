"""Masks and outpainting: what is generated anew, and that the rest stays exactly as it was."""

import base64
import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import contract
from contract import EaselError, GenerationRequest
from generation import generate, img2img
from generation.gpu_memory import GpuMemory
from generation.inpaint import Canvas, InpaintInput, read_inpaint_input
from model_folder import CONTROL_PIPELINES
from tests.model_code import tiny
from tests.model_code.conftest import PROFILE

Send = Callable[..., Any]
NOISE = np.random.default_rng(3).integers(0, 256, (64, 96, 3), np.uint8)


def encode(pixels: Any, **options: Any) -> str:
    """Return base64 of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file, "PNG", **options)
    return base64.b64encode(file.getvalue()).decode()


def mask(left: int = 48, right: int = 96, size: tuple[int, int] = (64, 96)) -> Any:
    """White between two columns."""
    pixels = np.zeros(size, np.uint8)
    pixels[:, left:right] = 255
    return pixels


def request(**fields: Any) -> GenerationRequest:
    settings = {"width": 96, "height": 64, "num_inference_steps": 2, "guidance_scale": 4.0, "seed": 7}
    return GenerationRequest(**{"prompt": ("a",), "scheduler": "ddim", "strength": 1.0, **settings, **fields})


def pixels_of(response: Any, index: int = 0) -> Any:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(response["generated_images"][index]))))


def canvas_of(found: InpaintInput) -> Canvas:
    assert found.canvas
    return found.canvas


# --- the canvas ----------------------------------------------------------------------------------


@pytest.mark.parametrize("blur", [contract.MASK_BLUR.minimum, 4, contract.MASK_BLUR.maximum])
def test_the_rest_stays_exactly_and_the_mask_fades_in(blur: int) -> None:
    merged = Canvas(NOISE, mask(), blur).merge(255 - NOISE)
    assert (merged[:, :48] == NOISE[:, :48]).all()
    changed = np.abs(merged.astype(int) - NOISE)[:, 48:].mean((0, 2))
    assert (changed > 0).all()
    assert changed[0] < changed[min(blur, 40)] or not blur
    if blur < 48:
        assert (merged[:, 48 + blur :] == 255 - NOISE[:, 48 + blur :]).all()


@pytest.mark.parametrize(
    ("mode", "sent"),
    [
        ("white", mask()),
        ("white", np.dstack([mask()] * 3)),
        ("black", 255 - mask()),
        ("transparent", np.dstack([NOISE, 255 - mask()])),
    ],
)
def test_every_mode_selects_the_same_part(mode: str, sent: Any) -> None:
    found = read_inpaint_input(
        request(init_image=encode(NOISE), mask_image=encode(sent), mask_mode=mode), 96, 64, upscales=False
    )
    assert (canvas_of(found).mask == mask()).all() and (canvas_of(found).pixels == NOISE).all()
    assert (np.asarray(found.mask) == mask()).all() and (np.asarray(found.image) == NOISE).all()
    assert found.warnings == ()


def test_a_gray_mask_selects_from_the_half_on() -> None:
    sent = np.full((64, 96), 127, np.uint8)
    sent[:, 90:] = 128
    found = read_inpaint_input(request(init_image=encode(NOISE), mask_image=encode(sent)), 96, 64, upscales=False)
    assert (canvas_of(found).mask == mask(90)).all()


def test_a_mask_of_another_resolution_is_scaled() -> None:
    smaller = encode(mask(24, 48, (32, 48)))
    found = read_inpaint_input(request(init_image=encode(NOISE), mask_image=smaller), 96, 64, upscales=False)
    assert (canvas_of(found).mask == mask()).all()


@pytest.mark.parametrize(
    ("sent", "mode", "words"),
    [
        (mask(0, 0), "white", "no white pixel"),
        (mask(0, 96), "black", "no black pixel"),
        (NOISE, "transparent", "no transparent pixel"),
        (mask(size=(96, 64)), "white", "64x96"),
    ],
)
def test_a_mask_that_cannot_be_meant_is_refused(sent: Any, mode: str, words: str) -> None:
    sent_request = request(init_image=encode(NOISE), mask_image=encode(sent), mask_mode=mode)
    with pytest.raises(EaselError, match=words) as error:
        read_inpaint_input(sent_request, 96, 64, upscales=False)
    assert (error.value.code, error.value.param) == ("bad_image", "mask_image")


def test_a_damaged_mask_is_named() -> None:
    truncated = base64.b64encode(base64.b64decode(encode(NOISE))[:90]).decode()
    with pytest.raises(EaselError) as error:
        read_inpaint_input(request(init_image=encode(NOISE), mask_image=truncated), 96, 64, upscales=False)
    assert (error.value.code, error.value.param) == ("bad_image", "mask_image")


def test_outpaint_keeps_the_image_inside_of_its_margins() -> None:
    margins = {"left": 32, "right": 0, "top": 8, "bottom": 8}
    found = read_inpaint_input(
        request(init_image=encode(NOISE), outpaint=margins, width=128, height=80), 128, 80, upscales=False
    )
    canvas = canvas_of(found)
    assert (canvas.pixels[8:72, 32:] == NOISE).all()
    assert not canvas.mask[8:72, 32:].any() and canvas.mask[:8].all() and canvas.mask[:, :32].all()
    merged = canvas.merge(np.zeros((80, 128, 3), np.uint8))
    assert (merged[8:72, 32:] == NOISE).all() and not merged[:, 0].any()


def test_the_generation_has_its_grid_and_an_upscaled_one_its_proportions() -> None:
    sent = request(init_image=encode(NOISE), mask_image=encode(mask()))
    padded = read_inpaint_input(sent, 112, 64, upscales=False)
    assert padded.image.size == padded.mask.size == (112, 64)
    assert (np.asarray(padded.image)[:, 8:104] == NOISE).all()
    scaled = read_inpaint_input(sent, 32, 32, upscales=True)
    assert (np.asarray(scaled.mask) == mask(16, 32, (32, 32))).all()


# --- generation ----------------------------------------------------------------------------------


@pytest.fixture
def inpaint_model(model: Any) -> Any:
    model.profile = replace(PROFILE, image_to_image=True)
    return model


def test_only_the_masked_part_changes(inpaint_model: Any, send: Send) -> None:
    settings = {"init_image": encode(NOISE), "mask_image": encode(mask()), "width": 96, "height": 64, "mask_blur": 2}
    response = send(inpaint_model, **settings, prompt=["a", "b"])
    for index in range(2):
        image = pixels_of(response, index)
        assert (image[:, :48] == NOISE[:, :48]).all() and (image[:, 48:] != NOISE[:, 48:]).mean() > 0.9
    assert response["parameters"]["mask_image"].startswith("sha256:")
    single = send(inpaint_model, **settings, prompt="b", seed=response["seeds"][1])
    assert single["generated_images"] == response["generated_images"][1:]
    outpainted = send(inpaint_model, init_image=encode(NOISE), outpaint={"right": 32})
    assert pixels_of(outpainted).shape == (64, 128, 3)
    assert (pixels_of(outpainted)[:, :96] == NOISE).all()


def test_a_request_with_a_mask_leaves_the_loaded_pipeline(inpaint_model: Any, send: Send) -> None:
    before = send(inpaint_model)["generated_images"]
    scheduler, components = inpaint_model.pipeline.scheduler, dict(inpaint_model.pipeline.components)
    send(inpaint_model, init_image=encode(NOISE), mask_image=encode(mask()), width=96, height=64, scheduler="euler")
    assert "error" in send(inpaint_model, init_image=encode(NOISE), mask_image=encode(mask(0, 0)))
    assert inpaint_model.pipeline.scheduler is scheduler and inpaint_model.pipeline.components == components
    assert send(inpaint_model)["generated_images"] == before


def test_a_model_that_upscales_keeps_the_rest_at_full_resolution(inpaint_model: Any, send: Send) -> None:
    inpaint_model.profile = replace(inpaint_model.profile, upscales=True)
    large = np.asarray(Image.fromarray(NOISE).resize((192, 128)))
    sent = encode(mask(96, 192, (128, 192)))
    response = send(inpaint_model, init_image=encode(large), mask_image=sent, width=192, height=128)
    image = pixels_of(response)
    assert (image[:, :96] == large[:, :96]).all() and (image[:, 96:] != large[:, 96:]).mean() > 0.9


@pytest.mark.parametrize(
    ("family", "scheduler"),
    [
        (tiny.stable_diffusion, "ddim"),
        (tiny.stable_diffusion_xl, "euler"),
        (tiny.z_image, "flow_euler"),
        (tiny.flux, "flow_euler"),
    ],
)
def test_every_family_keeps_the_rest_and_runs_the_counted_steps(family: Callable[[], Any], scheduler: str) -> None:
    profile = replace(PROFILE, scheduler=scheduler, schedulers=(scheduler,), image_to_image=True)
    model = generate.Model(family(), profile, grid=16, batch_size=2, memory=GpuMemory())
    model.pipeline.set_progress_bar_config(disable=True)
    sent = {"init_image": encode(NOISE[:, :72]), "mask_image": encode(mask(48, 72, (64, 72))), "width": 72}
    for steps, strength, expected in [(9, 7 / 9, 7), (3, 0.4, 1), (3, 1.0, 3)]:
        seen: list[tuple[int, int]] = []
        model.on_step = lambda step, total, seen=seen: seen.append((step, total))
        sent_request = request(**sent, num_inference_steps=steps, strength=strength, scheduler=scheduler)
        (image,) = generate.generate(model, sent_request, None).images
        assert (image[:, :48] == NOISE[:, :48]).all() and (image[:, 56:] != NOISE[:, 56:72]).any()
        assert (len(seen), seen[-1], sent_request.steps) == (expected, (expected, expected), expected)


def test_the_table_has_classes_for_inpainting() -> None:
    import diffusers

    for name in img2img.PIPELINES:
        pipeline = type(name, (), {})()
        kinds: tuple[img2img.Kind, ...] = ("Img2Img", "Inpaint")
        found = [img2img.pipeline_class(pipeline, kind) for kind in kinds]
        if family := CONTROL_PIPELINES.get(name):
            fields: dict[img2img.Kind, str] = {"": "", "Img2Img": "init_image", "Inpaint": "mask_image"}
            taken = [kind for kind in fields if fields[kind] not in family.without]
            found += [img2img.pipeline_class(pipeline, kind, control=True) for kind in taken]
        assert all(issubclass(class_, diffusers.DiffusionPipeline) for class_ in found)
