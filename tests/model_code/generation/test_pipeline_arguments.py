"""Pipelines differ in the parameters of their __call__: what each is given, and what its caller is told."""

from types import SimpleNamespace
from typing import Any

import pytest

from contract import GenerationRequest
from generation import pipeline_arguments


class Plain:
    def __call__(self, prompt: Any, negative_prompt: Any = None, guidance_scale: float = 7.5) -> None: ...


class NoNegative:
    def __call__(self, prompt: Any, guidance_scale: float = 4.0) -> None: ...


class Distilled:
    """As Flux: guidance goes into the transformer, and a negative prompt only counts with true_cfg_scale."""

    def __call__(
        self, prompt: Any, negative_prompt: Any = None, true_cfg_scale: float = 1.0, guidance_scale: float = 3.5
    ) -> None: ...


class TrueGuidance:
    """As Qwen-Image."""

    def __call__(
        self,
        prompt: Any,
        negative_prompt: Any = None,
        true_cfg_scale: float = 4.0,
        guidance_scale: float | None = None,
    ) -> None: ...


class Unguided:
    def __call__(self, prompt: Any) -> None: ...


def prepare(pipeline: Any, **changes: Any) -> pipeline_arguments.Call:
    fields: dict[str, Any] = {
        "prompt": ("a",),
        "width": 512,
        "height": 256,
        "num_inference_steps": 9,
        "guidance_scale": 5.0,
        "seed": 1,
        "scheduler": "ddim",
    }
    return pipeline_arguments.prepare(pipeline, GenerationRequest(**fields | changes), 64, 32)


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
def test_guidance_has_the_pipeline_s_name(pipeline: Any, guidance: dict[str, float]) -> None:
    call = prepare(pipeline)
    assert call.settings == SIZE | guidance
    assert not call.warnings


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
def test_a_negative_prompt_is_passed_or_the_caller_is_told(pipeline: Any, passed: str | None, warned: bool) -> None:
    call = prepare(pipeline, negative_prompt="fog")
    assert (call.negative_prompt, bool(call.warnings)) == (passed, warned)


def test_without_one_nothing_is_passed_but_where_guidance_needs_it() -> None:
    assert prepare(Plain()).negative_prompt is None
    assert prepare(TrueGuidance()).negative_prompt == " "


def test_a_negative_prompt_without_guidance_does_nothing_and_says_so() -> None:
    assert "no effect" in prepare(Plain(), negative_prompt="fog", guidance_scale=1.0).warnings[0]


def tokenizer(room: int) -> Any:
    """One token a character, and a start and an end."""

    class Letters:
        model_max_length = room

        def num_special_tokens_to_add(self) -> int:
            return 2

        def __call__(self, text: str, **_: Any) -> Any:
            return SimpleNamespace(input_ids=list(text))

    return Letters()


def test_a_prompt_that_is_cut_off_is_told_and_one_that_just_fits_is_not() -> None:
    pipeline = Plain()
    pipeline.tokenizer = tokenizer(12)  # type: ignore[attr-defined]
    warnings = prepare(pipeline, prompt=("a" * 10, "b" * 11)).warnings
    assert warnings == ("Prompt 2 has 11 tokens; this model reads the first 10.",)


def test_the_roomiest_text_encoder_counts() -> None:
    class Roomy:
        tokenizer, tokenizer_2, tokenizer_3 = tokenizer(12), tokenizer(2**40), None

        def __call__(self, prompt: Any, max_sequence_length: int = 22) -> None: ...

    assert not prepare(Roomy(), prompt=("a" * 20,)).warnings
    assert "first 20" in prepare(Roomy(), prompt=("a" * 21,)).warnings[0]
