"""The arguments of a pipeline's `__call__` for a request. Pipelines differ in the parameters that they have."""

import inspect
from dataclasses import dataclass
from typing import Any

from contract import GenerationRequest, ModelProfile
from generation.extras.embeddings import NO_EMBEDDINGS, Embeddings
from generation.prompt_encoder import PromptEncoder, create_encoder
from generation.prompt_length import truncation_warnings


@dataclass(frozen=True)
class PipelineArguments:
    """Arguments that do not depend on the batch, and warnings for the caller."""

    shared: dict[str, Any]
    negative_prompt: str | None
    """None: do not pass it. Some pipelines treat an empty negative prompt in another way."""
    warnings: tuple[str, ...]
    encoder: PromptEncoder | None = None
    """Encodes prompts and negative prompt in place of the pipeline; None: the pipeline reads the texts."""


def prepare_arguments(
    pipeline: Any, request: GenerationRequest, width: int, height: int, embeddings: Embeddings = NO_EMBEDDINGS
) -> PipelineArguments:
    """Return the arguments to generate at `width` x `height`, which may differ from the requested size."""
    parameters = inspect.signature(pipeline.__call__).parameters
    shared = {"width": width, "height": height, "num_inference_steps": request.num_inference_steps}
    if "image" in parameters and "width" not in parameters:
        del shared["width"], shared["height"]  # some pipelines take the size of their init_image
    guidance, true_guidance = _guidance(parameters, request.guidance_scale)
    negative_prompt, warnings = _negative_prompt(pipeline, request, true_guidance)
    texts = {f"Prompt {number}": prompt for number, prompt in enumerate(request.prompt, start=1)}
    if negative_prompt and not warnings:
        texts["negative_prompt"] = negative_prompt
    encoder = create_encoder(pipeline, request, negative_prompt, embeddings)
    warnings += encoder.warnings(texts) if encoder else truncation_warnings(pipeline, parameters, texts)
    return PipelineArguments(shared | guidance, negative_prompt, tuple(warnings), encoder)


def _guidance(parameters: Any, scale: float) -> tuple[dict[str, float], bool]:
    """Return the argument, and whether it is `true_cfg_scale`.

    Qwen pipelines use `true_cfg_scale` for guidance; their `guidance_scale` has no default.
    """
    if "true_cfg_scale" in parameters and _default(parameters, "guidance_scale") is None:
        return {"true_cfg_scale": scale}, True
    return ({"guidance_scale": scale} if "guidance_scale" in parameters else {}), False


def _default(parameters: Any, name: str) -> Any:
    return parameters[name].default if name in parameters else None


def takes_guidance_scale(pipeline: Any) -> bool:
    """Return whether guidance can have an effect: not where the model was distilled without an input for it."""
    guidance, true_guidance = _guidance(inspect.signature(pipeline.__call__).parameters, 0)
    if not guidance or _setting(pipeline, "is_distilled", False):
        return False
    if true_guidance or hasattr(type(pipeline), "do_classifier_free_guidance"):
        return True
    return _setting(getattr(pipeline, "transformer", None), "guidance_embeds", True)


def _setting(part: Any, name: str, default: bool) -> bool:
    return bool(getattr(getattr(part, "config", None), name, default))


def guidance_warnings(pipeline: Any, request: GenerationRequest, profile: ModelProfile) -> list[str]:
    """Return a warning if the request has a guidance scale of its own that is ignored."""
    default = profile.with_loras(lora.id for lora in request.loras or ()).guidance_scale
    # a ControlNet of FLUX can have an input for guidance that the model has not
    if request.guidance_scale == default or request.control or takes_guidance_scale(pipeline):
        return []
    return ["This model takes no guidance_scale; it was ignored."]


def takes_negative_prompt(pipeline: Any) -> bool:
    """Return whether a negative prompt can have an effect: not where the UNet has learned its guidance."""
    parameters = inspect.signature(pipeline.__call__).parameters
    if "true_cfg_scale" in parameters:
        return _guidance(parameters, 0)[1]
    unet = getattr(pipeline, "unet", None)
    return "negative_prompt" in parameters and (unet is None or unet.config.time_cond_proj_dim is None)


def _negative_prompt(pipeline: Any, request: GenerationRequest, true_guidance: bool) -> tuple[str | None, list[str]]:
    """Return the negative prompt to pass, and warnings."""
    if true_guidance:
        return request.negative_prompt or " ", []  # without a negative prompt these pipelines use no guidance
    if not request.negative_prompt:
        return None, []
    if not takes_negative_prompt(pipeline):
        return None, ["This model takes no negative_prompt; it was ignored."]
    if request.guidance_scale <= 1:
        return request.negative_prompt, ["negative_prompt has no effect at a guidance_scale of 1 or less."]
    return request.negative_prompt, []
