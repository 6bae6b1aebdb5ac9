"""LoRAs of a request: what they change, and that nothing of them stays."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from contract import GenerationRequest, Lora
from generation.generate import generate
from loading.load import load_model
from tests.model_code import every_pipeline, lora_files

Send = Callable[..., Any]
FAMILIES = [
    "StableDiffusionPipeline",
    "StableDiffusionXLPipeline",
    "FluxPipeline",
    "QwenImagePipeline",
    "ZImagePipeline",
]
_MAX_DIFFERENCE = 2
"""Of 255. peft adds the same products in another order."""


@pytest.fixture(autouse=True)
def no_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EASEL_MODEL_PROFILE", raising=False)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a pipeline of each family with two LoRAs made by peft."""
    torch.manual_seed(0)
    folder: Path = tmp_path_factory.mktemp("models") / request.param
    every_pipeline.PIPELINES[request.param]().save_pretrained(folder)
    (folder / "loras").mkdir()
    for seed, name in enumerate(("one", "two")):
        lora_files.by_peft(
            every_pipeline.PIPELINES[request.param](),
            folder / "loras" / f"{name}.safetensors",
            text="StableDiffusion" in request.param,
            seed=seed,
            strength=20 if "Qwen" in request.param else 1,
        )
    return folder


def request_of(model: Any, *loras: Lora) -> GenerationRequest:
    return GenerationRequest(
        prompt=("a",), width=64, height=64, num_inference_steps=2, guidance_scale=2.0, seed=7,
        scheduler=model.profile.scheduler, loras=loras or None,
    )  # fmt: skip


def pixels(model: Any, *loras: Lora) -> Any:
    return np.stack(generate(model, request_of(model, *loras), None).images).astype(int)


def with_peft(model: Any, folder: Path, *loras: Lora) -> Any:
    """Return what diffusers generates with its own loader of LoRAs, which the container does not use."""
    other = load_model(folder)
    warnings.simplefilter("ignore")  # peft warns of the second; pytest restores the filters
    for lora in loras:
        other.pipeline.load_lora_weights(folder / "loras", weight_name=f"{lora.id}.safetensors", adapter_name=lora.id)
    other.pipeline.set_adapters([lora.id for lora in loras], [lora.scale for lora in loras])
    return pixels(other)


def test_every_family_generates_what_diffusers_does_with_peft(family: Path) -> None:
    model = load_model(family)
    before = pixels(model)
    both = [Lora("one", 0.8), Lora("two", -0.5)]
    changed = pixels(model, *both)
    assert np.abs(changed - before).max() > _MAX_DIFFERENCE
    assert np.abs(changed - with_peft(model, family, *both)).max() <= _MAX_DIFFERENCE
    assert np.array_equal(pixels(model), before)
