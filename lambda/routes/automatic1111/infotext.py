"""Infotext: the generation parameters as text in an image file, in the form of AUTOMATIC1111 (A1111)."""

import json
from collections.abc import Mapping

from contract import GenerationRequest

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


def render_infotext(request: GenerationRequest, index: int, model: str) -> str:
    """Return the text for image `index` of a request: prompt with tags of LoRAs, negative prompt, settings."""
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
        "Model": model,
        **({} if request.strength is None else {"Denoising strength": f"{request.strength:g}"}),
        "Version": "Easel",
    }
    return "\n".join([*lines, ", ".join(f"{name}: {_quote(value)}" for name, value in settings.items())])


def _sampler(scheduler: str) -> dict[str, str]:
    if scheduler not in SAMPLERS:
        return {"Sampler": scheduler}
    sampler, schedule = SAMPLERS[scheduler]
    return {"Sampler": sampler, "Schedule type": schedule}


def _quote(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if set(value) & set(',:\n"') else value
