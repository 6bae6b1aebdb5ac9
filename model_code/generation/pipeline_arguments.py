"""A request in the words of one pipeline: the parameters that its `__call__` has, and what the caller should know."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from contract import GenerationRequest


@dataclass(frozen=True)
class Call:
    settings: dict[str, Any]
    """Keyword arguments that are the same for every batch."""
    negative_prompt: str | None
    """None: not passed. Some pipelines tell a missing one from an empty one."""
    warnings: tuple[str, ...]


def prepare(pipeline: Any, request: GenerationRequest, width: int, height: int) -> Call:
    """`width` and `height` are those to draw at, which need not be those asked for."""
    parameters = inspect.signature(pipeline.__call__).parameters
    settings = {"width": width, "height": height, "num_inference_steps": request.num_inference_steps}
    if "image" in parameters and "width" not in parameters:
        del settings["width"], settings["height"]  # some pipelines take the size of their picture
    guidance, true_guidance = _guidance(parameters, request.guidance_scale)
    negative, warnings = _negative(pipeline, parameters, request, true_guidance)
    return Call(settings | guidance, negative, (*warnings, *_truncations(pipeline, parameters, request.prompt)))


def _guidance(parameters: Any, scale: float) -> tuple[dict[str, float], bool]:
    """The pipelines of Qwen call guidance `true_cfg_scale`, and their `guidance_scale` has no default."""
    if "true_cfg_scale" in parameters and _default(parameters, "guidance_scale") is None:
        return {"true_cfg_scale": scale}, True
    return ({"guidance_scale": scale} if "guidance_scale" in parameters else {}), False


def _default(parameters: Any, name: str) -> Any:
    return parameters[name].default if name in parameters else None


def _negative(
    pipeline: Any, parameters: Any, request: GenerationRequest, true_guidance: bool
) -> tuple[str | None, list[str]]:
    if true_guidance:
        return request.negative_prompt or " ", []  # without one these pipelines do not guide at all
    if not request.negative_prompt:
        return None, []
    if "negative_prompt" not in parameters or "true_cfg_scale" in parameters:
        return None, ["This model takes no negative_prompt; it was left out."]
    if request.guidance_scale <= 1:
        return request.negative_prompt, ["negative_prompt has no effect at a guidance_scale of 1 or less."]
    return request.negative_prompt, []


def _truncations(pipeline: Any, parameters: Any, prompts: Sequence[str]) -> list[str]:
    """One warning for each prompt that the most roomy text encoder cuts off."""
    tokenizer = _roomiest_tokenizer(pipeline)
    room = min(_default(parameters, "max_sequence_length") or 2**30, getattr(tokenizer, "model_max_length", 2**30))
    if room == 2**30 or not hasattr(tokenizer, "num_special_tokens_to_add"):
        return []
    fits = room - tokenizer.num_special_tokens_to_add()
    lengths = [len(tokenizer(prompt, add_special_tokens=False, verbose=False).input_ids) for prompt in prompts]
    return [
        f"Prompt {number} has {length} tokens; this model reads the first {fits}."
        for number, length in enumerate(lengths, start=1)
        if length > fits
    ]


def _roomiest_tokenizer(pipeline: Any) -> Any:
    """Pipelines with several number them by size: tokenizer (CLIP), tokenizer_2 (CLIP or T5), tokenizer_3 (T5)."""
    names = ("tokenizer_3", "tokenizer_2", "tokenizer")
    return next((found for name in names if (found := getattr(pipeline, name, None)) is not None), None)
