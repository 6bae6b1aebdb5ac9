"""Previews: they resemble the final image, change nothing, and are left out if the latents cannot be read."""

import base64
import copy
import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import inference
from contract import GenerationRequest
from generation import generate, previews
from generation.gpu_memory import GpuMemory
from stacks.config.catalogue import read_model
from tests.conftest import ROOT
from tests.model_code import every_pipeline, fakes
from tests.model_code.conftest import PROFILE

Send = Callable[..., Any]
PACKED = ("Chroma", "Ernie", "Flux", "Ovis", "QwenImage")
"""Start of the names of pipelines whose latents are of 16 pixels."""


def decode(encoded: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(encoded)))


@pytest.fixture(scope="module")
def emoji() -> Any:
    """The embedded model: the decoder of random weights is not linear."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EASEL_MODEL_PROFILE", read_model("emoji", ROOT).container_profile)
        return inference.model_fn(str(ROOT / "models/emoji"))


def correlation(preview: str, image: str) -> float:
    """Return the correlation of a preview with the image scaled to its size."""
    small = decode(preview)
    cells = decode(image).resize(small.size, Image.Resampling.BOX)
    return float(np.corrcoef(np.asarray(small, float).ravel(), np.asarray(cells, float).ravel())[0, 1])


@pytest.mark.parametrize("scheduler", ["ddim", "ddpm", "dpmpp_2m", "euler_a", "heun", "lcm", "pndm", "unipc"])
def test_each_step_has_a_preview_and_the_image_stays_the_same(model: Any, send: Send, scheduler: str) -> None:
    settings = {"prompt": "b", "scheduler": scheduler, "num_inference_steps": 5, "width": 72}
    before = send(model, **settings)["generated_images"]
    seen, steps = list[str](), list[int]()
    model.on_preview, model.on_step = seen.append, lambda step, total: steps.append(step)
    assert send(model, **settings)["generated_images"] == before
    assert len(seen) == len(steps) >= 5
    assert {decode(preview).size for preview in seen} == {(9, 8)}


@pytest.mark.parametrize("scheduler", ["ddim", "unipc"])
def test_a_preview_resembles_the_image(scheduler: str, emoji: Any, send: Send) -> None:
    """From the first step on, with the fit of the warm-up alone."""
    seen: list[str] = []
    model = replace(emoji, on_preview=seen.append, projection=copy.copy(emoji.projection))
    image = send(model, prompt="red apple", scheduler=scheduler, num_inference_steps=6)["generated_images"][0]
    assert correlation(seen[0], image) > 0.65
    assert correlation(seen[-1], image) > 0.75


def test_a_linear_decoder_is_fitted_exactly() -> None:
    """The latents then give the image."""
    torch.manual_seed(0)
    latents, weights = torch.randn(1, 4, 8, 8), torch.randn(4, 3) / 20
    image = torch.einsum("nchw,cd->ndhw", latents, weights) + 0.5
    assert image.min() > 0 and image.max() < 1
    projection = previews.Projection()
    assert projection.render(latents, 64, 64) is None
    projection.fit(latents, torch.nn.functional.interpolate(image, scale_factor=8))
    rendered = projection.render(latents, 64, 64)
    assert rendered is not None
    assert np.abs(rendered / 255 - image[0].permute(1, 2, 0).numpy()).max() < 0.02


def test_latents_of_another_layout_have_no_preview() -> None:
    projection = previews.Projection()
    projection.fit(torch.randn(1, 4, 8, 8), torch.rand(1, 3, 64, 64))
    for unknown in (torch.randn(1, 16, 8, 8), torch.randn(1, 4, 1, 8, 8), torch.randn(1, 7, 4)):
        assert projection.render(unknown, 64, 64) is None
        projection.fit(unknown, torch.rand(1, 3, 64, 64))
    assert projection.render(torch.full((1, 16, 8, 8), torch.nan), 64, 64) is not None  # black, not an error


@pytest.mark.parametrize("name", [name for name in every_pipeline.PIPELINES if "Edit" not in name])
def test_every_pipeline_has_previews_and_the_image_stays_the_same(name: str) -> None:
    noise = name in ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
    scheduler = "euler" if noise else "lcm" if name.startswith("Latent") else "flow_euler"
    profile = replace(PROFILE, scheduler=scheduler, schedulers=(scheduler,))
    model = generate.Model(every_pipeline.create(name), profile, grid=16, batch_size=1, memory=GpuMemory())
    model.pipeline.set_progress_bar_config(disable=True)
    request = GenerationRequest(
        prompt=("a",), width=96, height=64, num_inference_steps=3, guidance_scale=4.0, seed=7, scheduler=scheduler
    )
    for part in model.pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval()  # T5 has dropout
    (before,) = generate.generate(model, request, None).images
    seen: list[str] = []
    model.on_preview = seen.append
    (after,) = generate.generate(model, request, None).images
    assert (before == after).all()
    size = (6, 4) if name.startswith(PACKED) else (76, 52) if name == "SanaPipeline" else (12, 8)
    assert [decode(preview).size for preview in seen] == [size] * 3


def test_a_preview_of_an_upscaling_model_has_the_requested_proportions(model: Any, send: Send) -> None:
    model.profile = replace(PROFILE, upscales=True)
    seen: list[str] = []
    model.on_preview = seen.append
    send(model, width=128)
    assert decode(seen[0]).size == (16, 8)


def test_a_pipeline_without_latents_has_no_previews(fake_model: Any, send: Send) -> None:
    model = fake_model(fakes.grey)
    model.on_preview = lambda preview: pytest.fail("sent a preview")
    assert send(model)["generated_images"]


def test_without_on_preview_there_is_no_extra_work(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "track_finished_latents", lambda scheduler: pytest.fail("tracked"))
    monkeypatch.setattr(generate, "encode_preview", lambda pixels: pytest.fail("encoded"))
    data = inference.input_fn(json.dumps({"prompt": "a"}), "application/json")
    assert "seeds" in json.loads(inference.output_fn(inference.predict_fn(data, model), "application/json"))
