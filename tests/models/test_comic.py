"""The embedded model's LoRA: another style, half of it at scale 0.5, and the same subjects."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from classifier import load_classifier
from contact_sheet import generate_images
from diffusers import StableDiffusionPipeline
from PIL import Image

from contract import Lora
from generation.extras.lora import Loras
from generation.gpu_memory import GpuMemory

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "models" / "emoji"
FILE = FOLDER / "loras" / "comic.safetensors"
SCALES = (0.0, 0.5, 1.0)
RECOGNIZED = 17
"""Prompts, of twenty, whose subject the classifier must recognize among both styles."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def prompts() -> dict[str, str]:
    """Prompts with the code of their subject."""
    loaded: dict[str, str] = json.loads((ROOT / "training" / "prompts.json").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def images(prompts: dict[str, str]) -> dict[float, list[Image.Image]]:
    pipeline = StableDiffusionPipeline.from_pretrained(FOLDER, safety_checker=None, dtype=torch.float32)
    settings = json.loads((ROOT / "models" / "emoji.json").read_text())
    loras, generated = Loras(FOLDER, pipeline, GpuMemory()), {}
    for scale in SCALES:
        with loras.applied([Lora("comic", scale)]):
            generated[scale] = generate_images(
                pipeline, list(prompts), steps=settings["steps"], guidance=settings["guidance_scale"]
            )
    return generated


def pixels(images: list[Image.Image]) -> npt.NDArray[np.float32]:
    return np.stack([np.asarray(image, dtype=np.float32) / 255 for image in images])


@pytest.mark.parametrize("scale", SCALES)
def test_the_subjects_stay(images: dict[float, list[Image.Image]], prompts: dict[str, str], scale: float) -> None:
    found = load_classifier(styles=("emoji", "comic")).nearest(images[scale])
    missed = [prompt for (prompt, code), near in zip(prompts.items(), found, strict=True) if near[0] != code]
    assert len(prompts) - len(missed) >= RECOGNIZED, missed


def test_the_style_changes_with_the_scale(images: dict[float, list[Image.Image]]) -> None:
    """Scale 1 differs by several times what two seeds differ by (0.02), and scale 0.5 is about half-way."""
    none, half, full = (pixels(images[scale]) for scale in SCALES)
    line = full - none
    assert np.abs(line).mean() > 0.08
    assert 0.25 < ((half - none) * line).sum() / (line**2).sum() < 0.75


def test_scale_1_is_nearer_to_its_style(images: dict[float, list[Image.Image]]) -> None:
    """The share of images that are nearest to a comic."""
    classifier = load_classifier(styles=("emoji", "comic"))
    emoji = len(classifier.codes) // 2
    shares = [
        ((classifier.extract_features(images[s]) @ classifier.features.T).argmax(1) >= emoji).float().mean().item()
        for s in SCALES
    ]
    assert shares[0] <= 0.1
    assert shares[2] >= 0.9


def test_the_file_is_small_enough_for_a_repository() -> None:
    assert FILE.stat().st_size <= 2_000_000
