"""The embedded model, and the eye that judges it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline
from eye import Eye, load_eye
from safetensors import safe_open
from sheet import draw

ROOT = Path(__file__).parents[2]
MODELS, TRAINING = ROOT / "models", ROOT / "training"
FOLDER = MODELS / "emoji"
RECOGNISED = 17


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((MODELS / "emoji.json").read_text())
    return loaded


@pytest.fixture(scope="module")
def pipeline() -> StableDiffusionPipeline:
    loaded = StableDiffusionPipeline.from_pretrained(FOLDER, safety_checker=None, dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    return loaded


@pytest.fixture(scope="module")
def eye() -> Eye:
    return load_eye()


def test_the_eye_tells_the_drawings_apart(eye: Eye) -> None:
    """Nearest to each view of a drawing is another view of the same drawing."""
    likeness = (eye.features @ eye.features.T).fill_diagonal_(-1)
    right = [eye.codes[i] == code for i, code in zip(likeness.argmax(1).tolist(), eye.codes, strict=True)]
    assert len(set(eye.codes)) >= 250
    assert sum(right) >= 0.98 * len(right)


def test_one_seed_is_one_picture_and_another_seed_another(
    pipeline: StableDiffusionPipeline, settings: dict[str, Any]
) -> None:
    def draw(seed: int) -> bytes:
        generator = torch.Generator().manual_seed(seed)
        made = pipeline("panda", num_inference_steps=2, guidance_scale=settings["guidance_scale"], generator=generator)
        return bytes(made.images[0].tobytes())

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_it_draws_what_is_asked_for(pipeline: StableDiffusionPipeline, settings: dict[str, Any], eye: Eye) -> None:
    """The project's eye, on twenty prompts in two languages at default settings."""
    asked: dict[str, str] = json.loads((TRAINING / "prompts.json").read_text(encoding="utf-8"))
    pictures = draw(pipeline, list(asked), steps=settings["steps"], guidance=settings["guidance_scale"])
    seen = [near[0] for near in eye.nearest(pictures)]
    missed = [prompt for (prompt, code), near in zip(asked.items(), seen, strict=True) if code != near]
    assert len(asked) == 20
    assert len(asked) - len(missed) >= RECOGNISED, missed


def test_the_folder_is_small_enough_for_a_repository() -> None:
    assert sum(f.stat().st_size for f in FOLDER.rglob("*") if f.is_file()) <= 30_000_000


def test_the_weights_are_safetensors() -> None:
    files = [f for f in FOLDER.rglob("*") if f.is_file()]
    assert not {f.suffix for f in files} & {".bin", ".pt", ".ckpt", ".pkl"}


def test_every_version_of_transformers_finds_the_text_encoder() -> None:
    """That of the serving image knows CLIP's weights by their first names only; see training/export.py."""
    with safe_open(FOLDER / "text_encoder" / "model.safetensors", "pt") as weights:
        assert all(name.startswith("text_model.") for name in weights.keys())  # noqa: SIM118


def test_the_catalogue_states_the_native_size(pipeline: StableDiffusionPipeline, settings: dict[str, Any]) -> None:
    native = pipeline.unet.config.sample_size * pipeline.vae_scale_factor
    assert settings["sizes"] == [[native, native]]
