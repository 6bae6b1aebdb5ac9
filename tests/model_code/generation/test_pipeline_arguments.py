"""The arguments for pipelines with different parameters, and the warnings for the caller."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import diffusers
import pytest
import torch

from contract import GenerationRequest, Lora, ProfileLora
from generation.pipeline_arguments import (
    PipelineArguments,
    guidance_warnings,
    prepare_arguments,
    takes_guidance_scale,
    takes_negative_prompt,
)
from model_folder import PIPELINES, WITHOUT_NEGATIVE_PROMPT
from tests.model_code import every_pipeline, tiny
from tests.model_code.conftest import PROFILE

FROM_TEXT = sorted(
    {*every_pipeline.PIPELINES, "no prompt enhancer"} - {"ErnieImagePipeline", "QwenImageEditPlusPipeline"}
)
WARNING = "This model takes no guidance_scale; it was ignored."


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


def schnell() -> Any:
    """Return a FLUX whose transformer has no input for guidance."""
    pipeline = tiny.flux()
    transformer = type(pipeline.transformer)
    settings = {**pipeline.transformer.config, "guidance_embeds": False}
    pipeline.text_encoder_2.eval()
    return type(pipeline)(**{**pipeline.components, "transformer": transformer.from_config(settings).eval()})


def latents(pipeline: Any, guidance_scale: float) -> torch.Tensor:
    """Return what a pipeline generates in a step."""
    request = request_of(num_inference_steps=1, guidance_scale=guidance_scale, negative_prompt="b")
    arguments = prepare_arguments(pipeline, request, 64, 64)
    negative = {} if arguments.negative_prompt is None else {"negative_prompt": [arguments.negative_prompt]}
    generator = torch.Generator().manual_seed(0)
    output = pipeline(prompt=["a"], generator=generator, output_type="latent", **negative, **arguments.shared)
    found: torch.Tensor = getattr(output, "images", output)  # diffusers 0.38 returns ERNIE-Image's alone
    return found


@pytest.mark.slow
@pytest.mark.parametrize("family", FROM_TEXT)
def test_a_guidance_scale_is_taken_where_it_changes_the_image(family: str) -> None:
    pipeline = every_pipeline.trained(family)
    changes = not torch.equal(latents(pipeline, 3), latents(pipeline, 7))
    assert takes_guidance_scale(pipeline) is changes


@pytest.mark.parametrize("distilled", [tiny.flux_2_klein, schnell])
def test_a_guidance_scale_of_a_distilled_model_is_ignored_with_a_warning(distilled: Any) -> None:
    pipeline = distilled()
    assert torch.equal(latents(pipeline, 3), latents(pipeline, 7))
    assert guidance_warnings(pipeline, request_of(guidance_scale=5.0), PROFILE) == [WARNING]
    assert guidance_warnings(tiny.stable_diffusion(), request_of(guidance_scale=5.0), PROFILE) == []


def test_a_default_of_the_model_or_of_a_lora_is_no_reason_for_a_warning() -> None:
    pipeline = tiny.flux_2_klein()
    profile = replace(PROFILE, loras=(ProfileLora(id="fast", guidance_scale=1.0),))
    assert guidance_warnings(pipeline, request_of(guidance_scale=PROFILE.guidance_scale), profile) == []
    assert guidance_warnings(pipeline, request_of(guidance_scale=1.0), profile) == [WARNING]
    loras = (Lora(id="fast", scale=1.0),)
    assert guidance_warnings(pipeline, request_of(guidance_scale=1.0, loras=loras), profile) == []
