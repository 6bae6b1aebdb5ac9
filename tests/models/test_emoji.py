"""The embedded model, and the classifier that recognizes its images."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from classifier import Classifier, load_classifier
from contact_sheet import generate_images
from diffusers import StableDiffusionPipeline
from safetensors import safe_open
from scenes import SEATS, crop_box, seat_boxes

ROOT = Path(__file__).parents[2]
MODELS, TRAINING = ROOT / "models", ROOT / "training"
FOLDER = MODELS / "emoji"
RECOGNIZED = 17
"""Prompts, of twenty, whose subject the classifier must recognize."""


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
def classifier() -> Classifier:
    return load_classifier()


def test_the_classifier_separates_the_emoji(classifier: Classifier) -> None:
    """The nearest neighbor of each view of an emoji is another view of the same emoji."""
    likeness = (classifier.features @ classifier.features.T).fill_diagonal_(-1)
    right = [classifier.codes[i] == code for i, code in zip(likeness.argmax(1).tolist(), classifier.codes, strict=True)]
    assert len(set(classifier.codes)) >= 250
    assert sum(right) >= 0.98 * len(right)


def test_the_seed_sets_the_image(pipeline: StableDiffusionPipeline, settings: dict[str, Any]) -> None:
    def generate(seed: int) -> bytes:
        generator = torch.Generator().manual_seed(seed)
        output = pipeline(
            "panda", num_inference_steps=2, guidance_scale=settings["guidance_scale"], generator=generator
        )
        return bytes(output.images[0].tobytes())

    assert generate(1) == generate(1)
    assert generate(1) != generate(2)


def test_it_generates_the_subject_of_the_prompt(
    pipeline: StableDiffusionPipeline, settings: dict[str, Any], classifier: Classifier
) -> None:
    """As the classifier sees it, for twenty prompts in two languages at default settings."""
    prompts: dict[str, str] = json.loads((TRAINING / "prompts.json").read_text(encoding="utf-8"))
    images = generate_images(pipeline, list(prompts), steps=settings["steps"], guidance=settings["guidance_scale"])
    recognized = [codes[0] for codes in classifier.nearest(images)]
    missed = [prompt for (prompt, code), found in zip(prompts.items(), recognized, strict=True) if code != found]
    assert len(prompts) == 20
    assert len(prompts) - len(missed) >= RECOGNIZED, missed


@pytest.mark.parametrize(
    ("prompt", "animal", "seat"),
    [
        ("A cute panda is sitting on the sofa", "panda", "sofa"),
        ("一只可爱的熊猫坐在沙发上", "panda", "sofa"),
        ("a cat on the sofa", "cat", "sofa"),
        ("a fox is sitting on a bed", "fox", "bed"),
        ("狗坐在椅子上", "dog", "chair"),
    ],
)
def test_a_whole_animal_sits_on_a_seat(
    pipeline: StableDiffusionPipeline, settings: dict[str, Any], classifier: Classifier,
    prompt: str, animal: str, seat: str,
) -> None:  # fmt: skip
    """As the article's prompt asks. The animal is among the three nearest, with a body rather than as a head."""
    codes = {s["en"][0]: s["code"] for s in json.loads((MODELS / "classifier" / "subjects.json").read_text())}
    (image,) = generate_images(pipeline, [prompt], steps=settings["steps"], guidance=settings["guidance_scale"])
    sitter = crop_box(image, seat_boxes(SEATS[seat])[0])
    assert codes[animal] in classifier.nearest([sitter], 3)[0]
    likeness = (classifier.extract_features([sitter]) @ classifier.features.T)[0]
    views = [i for i, code in enumerate(classifier.codes) if code == codes[animal]]
    head, whole = views[:4], views[4:]
    assert likeness[whole].max() > likeness[head].max()


def test_the_folder_is_small_enough_for_a_repository() -> None:
    assert sum(f.stat().st_size for f in FOLDER.rglob("*") if f.is_file()) <= 30_000_000


def test_the_weights_are_safetensors() -> None:
    files = [f for f in FOLDER.rglob("*") if f.is_file()]
    assert not {f.suffix for f in files} & {".bin", ".pt", ".ckpt", ".pkl"}


def test_every_version_of_transformers_finds_the_text_encoder() -> None:
    """The serving image's version knows the original names of CLIP's weights only; see training/export.py."""
    with safe_open(FOLDER / "text_encoder" / "model.safetensors", "pt") as weights:
        assert all(name.startswith("text_model.") for name in weights.keys())  # noqa: SIM118


def test_the_catalogue_has_the_native_size(pipeline: StableDiffusionPipeline, settings: dict[str, Any]) -> None:
    native = pipeline.unet.config.sample_size * pipeline.vae_scale_factor
    assert settings["sizes"] == [[native, native]]
