"""The second pass: sizes, seeds, progress, and what it does where memory is short."""

import base64
import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from contract import ModelProfile
from generation.hires import TILED
from tests.model_code import tiny
from tests.model_code.conftest import PROFILE

Send = Callable[..., Any]
WITH_IMAGES: ModelProfile = replace(PROFILE, image_to_image=True)
SMALL = {"width": 64, "height": 72, "num_inference_steps": 2}


@pytest.fixture
def two_pass(model: Any) -> Any:
    return replace(model, profile=WITH_IMAGES)


def images(response: Any) -> list[Image.Image]:
    return [Image.open(io.BytesIO(base64.b64decode(image))) for image in response["generated_images"]]


@pytest.mark.parametrize("scale", [1.5, 2])
def test_the_result_has_the_scaled_size(two_pass: Any, send: Send, scale: float) -> None:
    response = send(two_pass, **SMALL, hires={"scale": scale})
    (image,) = images(response)
    assert image.size == {1.5: (96, 112), 2: (128, 144)}[scale]
    assert response["parameters"]["hires"] == {"scale": scale, "strength": 0.5, "steps": 2}
    assert (response["parameters"]["width"], response["parameters"]["height"]) == (64, 72)


def test_the_second_pass_starts_from_the_first(two_pass: Any, send: Send) -> None:
    """It is image to image from the first pass's image, scaled."""
    (first,) = images(send(two_pass, **SMALL))
    file = io.BytesIO()
    first.resize((128, 144), Image.Resampling.LANCZOS).save(file, "PNG")
    again = {"init_image": base64.b64encode(file.getvalue()).decode(), "strength": 0.5}
    expected = send(two_pass, width=128, height=144, num_inference_steps=8, **again)
    found = send(two_pass, **SMALL, hires={"scale": 2, "steps": 8, "strength": 0.5})
    assert found["generated_images"] == expected["generated_images"]


def test_the_nth_image_is_the_same_alone(two_pass: Any, send: Send) -> None:
    fields = {**SMALL, "hires": {"scale": 1.5}}
    together = send(two_pass, prompt=["cat", "dog"], num_images_per_prompt=2, **fields)
    assert together["seeds"] == [7, 8, 9, 10]
    for index, prompt in ((0, "cat"), (3, "dog")):
        alone = send(two_pass, prompt=prompt, seed=7 + index, **fields)
        assert alone["generated_images"] == [together["generated_images"][index]]
    batched = replace(two_pass, batch_size=3)
    assert len(set(send(batched, prompt="cat", num_images_per_prompt=4, **fields)["generated_images"])) == 4


def test_one_pass_is_the_same_before_and_after(two_pass: Any, send: Send) -> None:
    before = send(two_pass, **SMALL)["generated_images"]
    send(two_pass, **SMALL, hires={})
    assert send(two_pass, **SMALL)["generated_images"] == before


def test_sdxl_has_a_second_pass(loaded: Any, send: Send) -> None:
    model = replace(loaded, pipeline=tiny.stable_diffusion_xl(), profile=replace(WITH_IMAGES, clip_layers=2))
    fields = {**SMALL, "prompt_syntax": "weighted", "clip_skip": 1, "hires": {"scale": 1.5}}
    (image,) = images(send(model, prompt="a (b:1.2)", **fields))
    assert image.size == (96, 112)


def test_progress_counts_both_passes(two_pass: Any, send: Send) -> None:
    seen: list[tuple[int, int]] = []
    sizes = []
    two_pass.on_step = lambda done, total: seen.append((done, total))
    two_pass.on_preview = lambda preview: sizes.append(Image.open(io.BytesIO(base64.b64decode(preview))).size)
    send(two_pass, **SMALL, num_images_per_prompt=2, hires={"scale": 2, "steps": 6})
    assert seen == [(step, 10) for step in range(1, 11)]
    assert sizes[0][0] < sizes[-1][0]


def test_a_model_of_one_size_runs_both_passes_at_it(two_pass: Any, send: Send) -> None:
    two_pass.profile = replace(WITH_IMAGES, upscales=True)
    for width, result in ((64, (128, 128)), (128, (256, 128))):
        response = send(two_pass, width=width, height=64, hires={})
        assert images(response)[0].size == result
        assert "64x64" in response["warnings"][0]
        assert f"{result[0]}x{result[1]}" in response["warnings"][0]
    assert send(two_pass, width=64, height=64)["generated_images"] != response["generated_images"]


def test_steps_beyond_the_model_are_refused(two_pass: Any, send: Send) -> None:
    two_pass.profile = replace(WITH_IMAGES, schedulers=("lcm",), scheduler="lcm")
    assert "error" not in send(two_pass, **SMALL, hires={"steps": 50, "strength": 0.02})
    error = send(two_pass, **SMALL, hires={"steps": 51})["error"]
    assert (error["code"], error["param"]) == ("out_of_range", "hires.steps")


def short_of_memory(model: Any, patch: pytest.MonkeyPatch, *, even_in_tiles: bool) -> None:
    """Let the second pass's autoencoder run out of memory unless it works in tiles."""
    vae = model.pipeline.vae
    decode = vae.decode

    def fail_without_tiles(latents: Any, *args: Any, **named: Any) -> Any:
        if latents.shape[-1] > 64 // 8 and (even_in_tiles or not vae.use_tiling):
            raise RuntimeError("CUDA out of memory")
        return decode(latents, *args, **named)

    patch.setattr(vae, "decode", fail_without_tiles)
    patch.setattr(model, "memory", type(model.memory)(lambda: None))


def test_where_memory_is_short_the_second_pass_works_in_tiles(
    two_pass: Any, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_of_memory(two_pass, monkeypatch, even_in_tiles=False)
    response = send(two_pass, **SMALL, num_images_per_prompt=2, hires={})
    assert TILED in response["warnings"]
    assert np.asarray(images(response)[1]).shape == (144, 128, 3)
    assert two_pass.pipeline.vae.use_tiling is False


def test_memory_that_is_too_short_for_tiles_is_an_error(
    two_pass: Any, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_of_memory(two_pass, monkeypatch, even_in_tiles=True)
    error = send(two_pass, **SMALL, hires={})["error"]
    assert error["code"] == "gpu_out_of_memory"
    assert "128x144" in error["message"]
    assert two_pass.pipeline.vae.use_tiling is False
