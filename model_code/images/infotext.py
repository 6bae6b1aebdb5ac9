"""Infotext: the generation parameters as text in an image file, in the form of AUTOMATIC1111 (A1111)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from contract import PROMPT_SYNTAXES, GenerationRequest

SAMPLERS: Mapping[str, tuple[str, str]] = {
    "ddim": ("DDIM", "Automatic"),
    "ddpm": ("DDPM", "Automatic"),
    "dpmpp_2m": ("DPM++ 2M", "Uniform"),
    "dpmpp_2m_karras": ("DPM++ 2M", "Karras"),
    "euler": ("Euler", "Automatic"),
    "euler_a": ("Euler a", "Automatic"),
    "heun": ("Heun", "Automatic"),
    "lcm": ("LCM", "Automatic"),
    "lms": ("LMS", "Automatic"),
    "pndm": ("PLMS", "Automatic"),
    "unipc": ("UniPC", "Automatic"),
}
"""Scheduler to A1111's sampler and schedule type: its "Automatic" of DPM++ 2M is Karras. Others keep their own name."""


@dataclass(frozen=True)
class Origin:
    """What an image was generated with. Empty: it is not known. `lora_hashes`: id to AUTOMATIC1111's hash,
    `embedding_hashes`: token to it."""

    model: str
    revision: str = ""
    licence: str = ""
    lora_hashes: Mapping[str, str] = field(default_factory=dict)
    embedding_hashes: Mapping[str, str] = field(default_factory=dict)


def render_infotext(request: GenerationRequest, index: int, origin: Origin) -> str:
    """Return the text for image `index` of a request: prompt with tags of LoRAs, negative prompt, settings.

    `request`: `without_image`.
    """
    tags = "".join(f" <lora:{lora.id}:{lora.scale:g}>" for lora in request.loras or ())
    lines = [request.prompt[index // request.num_images_per_prompt] + tags]
    if request.negative_prompt:
        lines.append(f"Negative prompt: {request.negative_prompt}")
    settings = {
        "Steps": str(request.num_inference_steps),
        **_sampler(request.scheduler),
        "CFG scale": f"{request.guidance_scale:g}",
        "Seed": str(request.seeds()[index]),
        "Size": f"{request.width}x{request.height}",
        "Model": origin.model,
        **({"Model revision": origin.revision} if origin.revision else {}),
        **({"Model licence": origin.licence} if origin.licence else {}),
        **({} if request.strength is None else {"Denoising strength": f"{request.strength:g}"}),
        **({} if request.clip_skip is None else {"Clip skip": str(request.clip_skip)}),
        **hires_settings(request),
        **_edit_settings(request),
        **_control_settings(request),
        **({"Prompt syntax": request.prompt_syntax} if request.prompt_syntax != PROMPT_SYNTAXES[0] else {}),
        **({"Lora hashes": _hashes(origin.lora_hashes)} if origin.lora_hashes else {}),
        **({"TI hashes": _hashes(origin.embedding_hashes)} if origin.embedding_hashes else {}),
        "Version": "Easel",
    }
    return "\n".join([*lines, ", ".join(f"{name}: {_quote(value)}" for name, value in settings.items())])


def hires_settings(request: GenerationRequest) -> dict[str, str]:
    """Return the settings of a second pass. A1111 counts the steps that run.

    `Hires schedule`, which A1111 does not know, has the steps of the request where those that run do not say them.
    """
    hires = request.hires
    if hires is None:
        return {}
    derived = round(hires.steps_that_run / hires.strength)
    return {
        "Denoising strength": f"{hires.strength:g}",
        "Hires upscale": f"{hires.scale:g}",
        "Hires steps": str(hires.steps_that_run),
        "Hires upscaler": "Lanczos",
        **({} if derived == hires.steps else {"Hires schedule": str(hires.steps)}),
    }


def _edit_settings(request: GenerationRequest) -> dict[str, str]:
    """Return the first digits of the hashes of the images to look at. A1111 has no name for them."""
    hashes = request.images or ()
    return {"Images": " ".join(hash.removeprefix("sha256:")[:10] for hash in hashes)} if hashes else {}


def _control_settings(request: GenerationRequest) -> dict[str, str]:
    """Return the units of A1111's extension for ControlNets."""
    return {
        f"ControlNet {number}": f"Module: {control.preprocess or 'none'}, Model: {control.id}, "
        f"Weight: {control.scale:g}, Guidance Start: {control.start:g}, Guidance End: {control.end:g}"
        for number, control in enumerate(request.control or ())
    }


def _sampler(scheduler: str) -> dict[str, str]:
    if scheduler not in SAMPLERS:
        return {"Sampler": scheduler}
    sampler, schedule = SAMPLERS[scheduler]
    return {"Sampler": sampler, "Schedule type": schedule}


def _hashes(hashes: Mapping[str, str]) -> str:
    return ", ".join(f"{id}: {hash}" for id, hash in hashes.items())


def _quote(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if set(value) & set(',:\n"') else value
