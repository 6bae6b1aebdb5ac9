"""Images that the model's safety checker flags: refused, or returned as they were generated."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from contract import CONTENT, ModelProfile, render_profile
from tests.model_code import tiny
from tests.model_code.conftest import PROFILE
from tests.model_code.every_pipeline import stable_diffusion_with_all_parts

Send = Callable[..., Any]
CHECKED: ModelProfile = replace(PROFILE, content=CONTENT, image_to_image=True)
SMALL = {"width": 64, "height": 64, "num_inference_steps": 2}


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny Stable Diffusion with a checker of random weights, loaded from a folder."""
    import inference

    folder = tiny.save(stable_diffusion_with_all_parts(), tmp_path_factory.mktemp("checked") / "tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EASEL_MODEL_PROFILE", render_profile(CHECKED))
        return inference.model_fn(str(folder))


def flag(model: Any, *, everything: bool) -> None:
    """Let the checker flag everything or nothing: a concept counts from its threshold on, a cosine of -1 to 1."""
    for weights in (model.pipeline.safety_checker.concept_embeds_weights,
                    model.pipeline.safety_checker.special_care_embeds_weights):  # fmt: skip
        with torch.no_grad():
            weights.fill_(-2 if everything else 2)


@pytest.mark.parametrize(
    "fields",
    [{}, {"prompt": ["a", "b"], "num_images_per_prompt": 2}, {"hires": {"scale": 1.5}}],
    ids=["one", "four", "hires"],
)
def test_flagged_images_are_returned_as_they_were_generated(checked: Any, send: Send, fields: dict[str, Any]) -> None:
    flag(checked, everything=False)
    usual = send(checked, **SMALL, **fields)
    allowed = send(checked, **SMALL, **fields, content="flag")
    assert "flagged" not in usual and "flagged" not in allowed
    flag(checked, everything=True)
    flagged = send(checked, **SMALL, **fields, content="flag")
    count = len(usual["generated_images"])
    assert flagged["generated_images"] == allowed["generated_images"] == usual["generated_images"]
    assert (flagged["flagged"], len(flagged["warnings"])) == ([True] * count, count)


@pytest.mark.parametrize("fields", [{}, {"content": "refuse"}])
def test_by_default_a_flagged_image_fails_the_request(checked: Any, send: Send, fields: dict[str, Any]) -> None:
    flag(checked, everything=True)
    send(checked, **SMALL, content="flag")
    assert send(checked, **SMALL, **fields)["error"]["code"] == "content_filtered"
    assert type(checked.pipeline.safety_checker).__name__ == "StableDiffusionSafetyChecker"


def test_the_flags_are_those_of_each_image(checked: Any, send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    """One by one and in batches; an image that is not flagged is the same as in a request of its own."""
    flag(checked, everything=False)
    seen: list[int] = []

    def every_second(images: Any, clip_input: Any) -> tuple[Any, list[bool]]:
        flags = [(len(seen) + i) % 2 == 1 for i in range(len(images))]
        seen.extend(range(len(images)))
        for image, is_flagged in zip(images, flags, strict=True):
            image *= 0 if is_flagged else 1
        return images, flags

    usual = send(checked, **SMALL, num_images_per_prompt=5)
    for size in (1, 3, 8):
        seen.clear()
        with monkeypatch.context() as patch:
            patch.setattr(checked.pipeline.safety_checker, "forward", every_second)
            found = send(replace(checked, batch_size=size), **SMALL, num_images_per_prompt=5, content="flag")
        assert found["flagged"] == [False, True, False, True, False]
        assert size > 1 or found["generated_images"] == usual["generated_images"]


def test_a_folder_without_a_checker_is_refused(model: Any, send: Send) -> None:
    refused = send(replace(model, profile=CHECKED), **SMALL, content="flag")["error"]
    assert (refused["code"], refused["param"]) == ("not_supported", "content")


def test_a_folder_without_an_entry_refuses(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from loading.load import load_model

    monkeypatch.delenv("EASEL_MODEL_PROFILE", raising=False)
    checked = tiny.save(stable_diffusion_with_all_parts(), tmp_path / "tiny")
    assert [load_model(path).profile.content for path in (checked, folder)] == [("refuse",), ()]
