"""The embedded model and the eye that is to judge the next one."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from eye import Eye, load_eye

MODELS = Path(__file__).parents[2] / "models"
FOLDER = MODELS / "emoji"


@pytest.fixture(scope="module")
def settings() -> dict[str, object]:
    loaded: dict[str, object] = json.loads((MODELS / "emoji.json").read_text())
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
    pipeline: StableDiffusionPipeline, settings: dict[str, object]
) -> None:
    def draw(seed: int) -> bytes:
        generator = torch.Generator().manual_seed(seed)
        made = pipeline("panda", num_inference_steps=2, guidance_scale=settings["guidance_scale"], generator=generator)
        return bytes(made.images[0].tobytes())

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_the_weights_are_safetensors() -> None:
    files = [f for f in FOLDER.rglob("*") if f.is_file()]
    assert not {f.suffix for f in files} & {".bin", ".pt", ".ckpt", ".pkl"}


def test_the_catalogue_states_the_native_size(pipeline: StableDiffusionPipeline, settings: dict[str, object]) -> None:
    native = pipeline.unet.config.sample_size * pipeline.vae_scale_factor
    assert settings["sizes"] == [[native, native]]
