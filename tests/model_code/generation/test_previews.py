"""Previews: they show the picture that comes, change nothing, and are left out where the latents cannot be read."""

import base64
import copy
import io
import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import inference
from contract import GenerationRequest, ModelProfile
from generation import generate as drawing
from generation import previews
from tests.model_code import fakes, tiny
from tests.model_code.conftest import PROFILE

Ask = Callable[..., Any]


def picture(encoded: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(encoded)))


@pytest.fixture(scope="module")
def emoji() -> Any:
    """The embedded model: what random weights decode is no linear matter."""
    folder = Path(__file__).parents[3] / "models/emoji"
    told = json.loads(folder.with_suffix(".json").read_text())
    profile = {name: told[name] for name in (field.name for field in fields(ModelProfile)) if name in told}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EASEL_MODEL_PROFILE", json.dumps(profile))
        return inference.model_fn(str(folder))


def likeness(preview: str, drawn: str) -> float:
    """Correlation of the preview with the drawn picture at its size."""
    small = picture(preview)
    cells = picture(drawn).resize(small.size, Image.Resampling.BOX)
    return float(np.corrcoef(np.asarray(small, float).ravel(), np.asarray(cells, float).ravel())[0, 1])


@pytest.mark.parametrize("scheduler", ["ddim", "ddpm", "dpmpp_2m", "euler_a", "heun", "lcm", "pndm", "unipc"])
def test_each_step_shows_a_preview_and_changes_nothing(model: Any, ask: Ask, scheduler: str) -> None:
    settings = {"prompt": "b", "scheduler": scheduler, "num_inference_steps": 5, "width": 72}
    before = ask(model, **settings)["generated_images"]
    seen, steps = list[str](), list[int]()
    model.on_preview, model.on_step = seen.append, lambda step, of: steps.append(step)
    assert ask(model, **settings)["generated_images"] == before
    assert len(seen) == len(steps) >= 5
    assert {picture(preview).size for preview in seen} == {(9, 8)}


@pytest.mark.parametrize("scheduler", ["ddim", "unipc"])
def test_a_preview_shows_the_picture_that_comes(scheduler: str, emoji: Any, ask: Ask) -> None:
    """From the first step on, with nothing learnt but from the warm-up."""
    seen: list[str] = []
    model = replace(emoji, on_preview=seen.append, projection=copy.copy(emoji.projection))
    drawn = ask(model, prompt="red apple", scheduler=scheduler, num_inference_steps=6)["generated_images"][0]
    assert likeness(seen[0], drawn) > 0.65
    assert likeness(seen[-1], drawn) > 0.75


def test_what_was_drawn_makes_previews_better() -> None:
    """A decoder that is linear is learnt to the bit from enough cells, and a step's latents give its picture."""
    latents, weights = torch.randn(1, 4, 8, 8), torch.randn(4, 3) / 10
    image = (torch.einsum("nchw,cd->ndhw", latents, weights) + 0.5).clamp(0, 1)
    projection = previews.Projection()
    assert projection.look(latents, 64, 64) is None
    projection.learn(latents, torch.nn.functional.interpolate(image, scale_factor=8))
    seen = projection.look(latents, 64, 64)
    assert seen is not None
    assert np.abs(seen / 255 - image[0].permute(1, 2, 0).numpy()).max() < 0.1


def test_latents_of_another_layout_are_left_alone() -> None:
    projection = previews.Projection()
    projection.learn(torch.randn(1, 4, 8, 8), torch.rand(1, 3, 64, 64))
    for odd in (torch.randn(1, 16, 8, 8), torch.randn(1, 4, 1, 8, 8), torch.randn(1, 7, 4)):
        assert projection.look(odd, 64, 64) is None
        projection.learn(odd, torch.rand(1, 3, 64, 64))
    assert projection.look(torch.full((1, 16, 8, 8), torch.nan), 64, 64) is not None  # black, not an error


@pytest.mark.parametrize("family", [tiny.stable_diffusion_xl, tiny.z_image, tiny.flux])
def test_every_family_shows_previews(family: Callable[[], Any]) -> None:
    from generation.gpu_memory import Memory

    scheduler = "euler" if family is tiny.stable_diffusion_xl else "flow_euler"
    profile = replace(PROFILE, scheduler=scheduler, schedulers=(scheduler,))
    model = drawing.Model(family(), profile, grid=16, at_once=1, memory=Memory())
    model.pipeline.set_progress_bar_config(disable=True)
    request = GenerationRequest(
        prompt=("a",), width=96, height=64, num_inference_steps=3, guidance_scale=4.0, seed=7, scheduler=scheduler
    )
    drawing.draw(model, request, None)
    seen: list[str] = []
    model.on_preview = seen.append
    drawing.draw(model, request, None)
    assert [picture(preview).size for preview in seen] == [(6, 4) if family is tiny.flux else (12, 8)] * 3


def test_a_model_that_enlarges_shows_the_shape_asked_for(model: Any, ask: Ask) -> None:
    model.profile = replace(PROFILE, enlarges=True)
    seen: list[str] = []
    model.on_preview = seen.append
    ask(model, width=128)
    assert picture(seen[0]).size == (16, 8)


def test_a_pipeline_that_tells_no_latents_shows_none(fake: Any, ask: Ask) -> None:
    model = fake(fakes.grey)
    model.on_preview = lambda preview: pytest.fail("shown")
    assert ask(model)["generated_images"]


def test_nobody_who_does_not_ask_pays(model: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previews, "watch", lambda scheduler: pytest.fail("watched"))
    monkeypatch.setattr(previews, "encode", lambda pixels: pytest.fail("encoded"))
    data = inference.input_fn(json.dumps({"prompt": "a"}), "application/json")
    assert "seeds" in json.loads(inference.output_fn(inference.predict_fn(data, model), "application/json"))
