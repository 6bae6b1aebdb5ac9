"""The warning about a truncated prompt comes exactly where the text encoder stops reading."""

import inspect
from typing import Any

import pytest
import torch

from generation.pipeline_arguments import prepare_arguments
from generation.prompt_length import truncation_warnings
from tests.model_code import every_pipeline
from tests.model_code.generation.test_pipeline_arguments import request_of

pytestmark = pytest.mark.slow
LONGEST = 4000
FAMILIES = sorted(
    {*every_pipeline.PIPELINES, "no T5", "no prompt enhancer", "one text encoder"}
    - {"ErnieImagePipeline", "QwenImageEditPlusPipeline"}
)
"""Ernie's prompt enhancer replaces the prompt. Qwen-Image-Edit reads all of it."""


def warned(pipeline: Any, name: str, length: int) -> bool:
    parameters = inspect.signature(pipeline.__call__).parameters
    return truncation_warnings(pipeline, parameters, {name: text(length)}) != []


def text(length: int, last: str = "a") -> str:
    """Return a text of `length` tokens: each letter after a space is a token, or two of equal length."""
    return "a " * (length - 1) + last


def first_warned(pipeline: Any, name: str) -> int:
    """Return the number of words from which on there is a warning."""
    low, high = 1, LONGEST
    assert not warned(pipeline, name, low) and warned(pipeline, name, high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if warned(pipeline, name, middle) else (middle, high)
    return high


def images(pipeline: Any, name: str, words: str) -> torch.Tensor:
    """Return the latents after a step, with `words` as the prompt or the negative prompt."""
    changes: dict[str, Any] = {"prompt": (words,)} if name == "Prompt 1" else {"negative_prompt": words}
    arguments = prepare_arguments(pipeline, request_of(num_inference_steps=1, **changes), 64, 64)
    negative = {} if arguments.negative_prompt is None else {"negative_prompt": [arguments.negative_prompt]}
    prompt = words if name == "Prompt 1" else "a"
    generator = torch.Generator().manual_seed(0)
    pipeline.set_progress_bar_config(disable=True)
    output = pipeline(prompt=[prompt], generator=generator, output_type="latent", **negative, **arguments.shared)
    # ErnieImagePipeline of diffusers 0.38 returns the latents alone.
    found: torch.Tensor = getattr(output, "images", output)
    return found


@pytest.mark.parametrize("name", ["Prompt 1", "negative_prompt"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_warning_is_for_the_first_token_that_is_not_read(family: str, name: str) -> None:
    pipeline = every_pipeline.trained(family)
    if name == "negative_prompt" and not _takes_negative(pipeline):
        pytest.skip("the pipeline takes no negative prompt")
    length = first_warned(pipeline, name)
    read, cut = (
        not torch.equal(images(pipeline, name, text(count)), images(pipeline, name, text(count, "b")))
        for count in (length - 1, length)
    )
    assert (read, cut) == (True, False)


def _takes_negative(pipeline: Any) -> bool:
    parameters = inspect.signature(pipeline.__call__).parameters
    return "negative_prompt" in parameters and not (
        "true_cfg_scale" in parameters and parameters["guidance_scale"].default is not None
    )
