"""The arguments for pipelines with different parameters, and the warnings for the caller."""

from types import SimpleNamespace
from typing import Any

import diffusers
import pytest

from contract import GenerationRequest
from generation.pipeline_arguments import PipelineArguments, prepare_arguments, takes_negative_prompt
from model_folder import PIPELINES, WITHOUT_NEGATIVE_PROMPT
from tests.model_code import tiny


class Plain:
    def __call__(self, prompt: Any, negative_prompt: Any = None, guidance_scale: float = 7.5) -> None: ...


class NoNegative:
    def __call__(self, prompt: Any, guidance_scale: float = 4.0) -> None: ...


class Distilled:
    """Like Flux: guidance is an input of the transformer, and a negative prompt needs true_cfg_scale."""

    def __call__(
        self, prompt: Any, negative_prompt: Any = None, true_cfg_scale: float = 1.0, guidance_scale: float = 3.5
    ) -> None: ...


class TrueGuidance:
    """Like Qwen-Image."""

    def __call__(
        self,
        prompt: Any,
        negative_prompt: Any = None,
        true_cfg_scale: float = 4.0,
        guidance_scale: float | None = None,
    ) -> None: ...


class Unguided:
    def __call__(self, prompt: Any) -> None: ...


def request_of(**changes: Any) -> GenerationRequest:
    fields: dict[str, Any] = {
        "prompt": ("a",),
        "width": 512,
        "height": 256,
        "num_inference_steps": 9,
        "guidance_scale": 5.0,
        "seed": 1,
        "scheduler": "ddim",
    }
    return GenerationRequest(**fields | changes)


def prepare(pipeline: Any, **changes: Any) -> PipelineArguments:
    return prepare_arguments(pipeline, request_of(**changes), 64, 32)


SIZE = {"width": 64, "height": 32, "num_inference_steps": 9}


@pytest.mark.parametrize(
    ("pipeline", "guidance"),
    [
        (Plain(), {"guidance_scale": 5.0}),
        (Distilled(), {"guidance_scale": 5.0}),
        (TrueGuidance(), {"true_cfg_scale": 5.0}),
        (Unguided(), {}),
    ],
)
def test_guidance_uses_the_parameter_of_the_pipeline(pipeline: Any, guidance: dict[str, float]) -> None:
    arguments = prepare(pipeline)
    assert arguments.shared == SIZE | guidance
    assert not arguments.warnings


@pytest.mark.parametrize(
    ("pipeline", "passed", "warned"),
    [
        (Plain(), "fog", False),
        (NoNegative(), None, True),
        (Distilled(), None, True),
        (TrueGuidance(), "fog", False),
        (Unguided(), None, True),
    ],
)
def test_a_negative_prompt_is_passed_or_warned_about(pipeline: Any, passed: str | None, warned: bool) -> None:
    arguments = prepare(pipeline, negative_prompt="fog")
    assert (arguments.negative_prompt, bool(arguments.warnings)) == (passed, warned)


@pytest.mark.parametrize("name", sorted(PIPELINES))
def test_the_classes_without_a_negative_prompt_are_those_that_ignore_one(name: str) -> None:
    pipeline = SimpleNamespace(__call__=getattr(diffusers, name).__call__)
    arguments = prepare(pipeline, negative_prompt="fog")
    assert (arguments.negative_prompt is None) is (name in WITHOUT_NEGATIVE_PROMPT)


def test_a_negative_prompt_is_ignored_where_the_unet_has_learned_its_guidance() -> None:
    pipeline = tiny.stable_diffusion_xl_lcm()
    arguments = prepare(pipeline, negative_prompt="fog")
    assert arguments.negative_prompt is None
    assert arguments.warnings == ("This model takes no negative_prompt; it was ignored.",)
    assert not takes_negative_prompt(pipeline)
    assert takes_negative_prompt(tiny.stable_diffusion_xl())


def test_an_empty_negative_prompt_is_passed_only_if_guidance_needs_it() -> None:
    assert prepare(Plain()).negative_prompt is None
    assert prepare(TrueGuidance()).negative_prompt == " "


def test_a_negative_prompt_without_guidance_is_warned_about() -> None:
    (warning,) = prepare(Plain(), negative_prompt="fog", guidance_scale=1.0).warnings
    assert "negative_prompt" in warning and "guidance_scale" in warning


def tokenizer(limit: int) -> Any:
    """One token per character, plus start and end."""

    class Letters:
        model_max_length = limit

        def num_special_tokens_to_add(self) -> int:
            return 2

        def __call__(self, text: str, **_: Any) -> Any:
            return SimpleNamespace(input_ids=list(text))

    return Letters()


def test_only_a_truncated_prompt_is_warned_about() -> None:
    pipeline = Plain()
    pipeline.tokenizer = tokenizer(12)  # type: ignore[attr-defined]
    warnings = prepare(pipeline, prompt=("a" * 10, "b" * 11)).warnings
    assert warnings == ("Prompt 2 has 11 tokens; this model reads the first 10.",)


def test_a_truncated_negative_prompt_is_warned_about() -> None:
    pipeline = Plain()
    pipeline.tokenizer = tokenizer(12)  # type: ignore[attr-defined]
    assert prepare(pipeline, negative_prompt="a" * 10).warnings == ()
    warnings = prepare(pipeline, prompt=("b" * 13, "a"), negative_prompt="a" * 11).warnings
    assert warnings == (
        "Prompt 1 has 13 tokens; this model reads the first 10.",
        "negative_prompt has 11 tokens; this model reads the first 10.",
    )
    (ignored,) = prepare(pipeline, negative_prompt="a" * 11, guidance_scale=1.0).warnings
    assert "guidance_scale" in ignored


@pytest.mark.parametrize(
    "family", [tiny.stable_diffusion, tiny.stable_diffusion_xl, tiny.flux_2_klein, tiny.z_image, tiny.flux]
)
def test_every_family_warns_about_a_long_negative_prompt_as_about_a_prompt(family: Any) -> None:
    pipeline, long = family(), "a " * 600
    warnings = prepare(pipeline, prompt=("a", long), negative_prompt=long).warnings
    assert sum("Prompt 2 has" in warning for warning in warnings) == 1
    assert any("negative_prompt" in warning for warning in warnings)


def test_a_processor_of_texts_and_images_is_a_tokenizer_too() -> None:
    pipeline = Plain()
    pipeline.tokenizer = SimpleNamespace(tokenizer=tokenizer(12))  # type: ignore[attr-defined]
    assert len(prepare(pipeline, prompt=("a" * 11,)).warnings) == 1


def test_the_text_encoder_with_the_longest_input_counts() -> None:
    class SeveralEncoders:
        tokenizer, tokenizer_2 = tokenizer(12), tokenizer(2**40)

        def __call__(self, prompt: Any, max_sequence_length: int = 22) -> None: ...

    assert not prepare(SeveralEncoders(), prompt=("a" * 20,)).warnings
    (warning,) = prepare(SeveralEncoders(), prompt=("a" * 21,)).warnings
    assert "21" in warning and "20" in warning
