"""Fields of txt2img and img2img, as a native request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contract import (
    LORA_SCALE,
    LORAS,
    EaselError,
    GenerationRequest,
    ModelProfile,
    ProfileLora,
    refuse,
    validate_request,
)
from routes.automatic1111.checkpoints import Checkpoints
from routes.automatic1111.controlnet import other_scripts, set_control
from routes.automatic1111.samplers import set_scheduler
from routes.lenient import LenientFields, base64_of

DEFAULTS: Mapping[str, Any] = {
    "prompt": "", "negative_prompt": "", "width": 512, "height": 512, "steps": 50, "cfg_scale": 7.0, "seed": -1,
    "batch_size": 1, "n_iter": 1, "sampler_name": None, "sampler_index": None, "scheduler": None,
    "override_settings": None, "send_images": True, "clip_skip": None, "denoising_strength": None, "styles": None,
    "subseed": -1, "subseed_strength": 0, "seed_resize_from_h": -1, "seed_resize_from_w": -1, "restore_faces": None,
    "tiling": None, "eta": None, "s_min_uncond": None, "s_churn": None, "s_tmax": None, "s_tmin": None,
    "s_noise": None, "refiner_checkpoint": None, "refiner_switch_at": None, "enable_hr": False, "hr_scale": 2.0,
    "hr_upscaler": None, "hr_second_pass_steps": 0, "hr_resize_x": 0, "hr_resize_y": 0, "hr_checkpoint_name": None,
    "hr_sampler_name": None, "hr_scheduler": None, "hr_prompt": "", "hr_negative_prompt": "", "script_name": None,
    "script_args": [], "alwayson_scripts": {}, "infotext": None, "firstpass_image": None, "firstphase_width": 0,
    "firstphase_height": 0, "disable_extra_networks": False, "do_not_save_samples": False, "do_not_save_grid": False,
    "save_images": False, "override_settings_restore_afterwards": True, "comments": None, "force_task_id": None,
}  # fmt: skip
"""The fields of txt2img and AUTOMATIC1111's values. Here the model's width, height, steps and cfg_scale apply."""
IMAGE_DEFAULTS: Mapping[str, Any] = {
    "init_images": None, "resize_mode": 0, "image_cfg_scale": None, "mask": None, "mask_blur": None, "mask_blur_x": 4,
    "mask_blur_y": 4, "mask_round": True, "inpainting_fill": 0, "inpaint_full_res": True,
    "inpaint_full_res_padding": 0, "inpainting_mask_invert": 0, "initial_noise_multiplier": None,
    "latent_mask": None, "include_init_images": False,
}  # fmt: skip
"""The further fields of img2img."""
STRENGTH = 0.75
"""AUTOMATIC1111's denoising_strength of img2img."""

_IGNORED: Mapping[str, tuple[Any, ...]] = {
    "styles": (), "subseed_strength": (), "seed_resize_from_h": (-1,), "seed_resize_from_w": (-1,),
    "restore_faces": (), "tiling": (), "eta": (1,), "s_min_uncond": (), "s_churn": (), "s_tmax": (), "s_tmin": (),
    "s_noise": (1,), "refiner_checkpoint": ("None",), "script_name": ("None",),
    "infotext": (), "firstpass_image": (), "resize_mode": (1,),
    "initial_noise_multiplier": (1,), "disable_extra_networks": (True,),
}  # fmt: skip
"""Fields that change an image and have no effect here: a warning, except for these values and empty ones."""
_NAMES = {
    "init_image": "init_images",
    "mask_image": "mask",
    "strength": "denoising_strength",
    "images": "init_images",
}
"""Native names to those of this API, in messages."""
_NOT_ECHOED = ("mask", "latent_mask", "init_images", "firstpass_image", "alwayson_scripts", "script_args")
"""Fields that may contain images."""
_CLIENT_FIELDS = ("url", "auth")
"""What SillyTavern adds to the body for its own server."""
_IGNORED_SETTINGS: Mapping[str, tuple[Any, ...]] = {
    "sd_vae": ("Automatic", "None"), "eta_noise_seed_delta": (), "filter_nsfw": (),
}  # fmt: skip
_USED_SETTINGS = ("sd_model_checkpoint", "samples_format", "enable_pnginfo", "CLIP_stop_at_last_layers")
UPSCALER = "Lanczos"
"""How the image of the first pass is scaled, by AUTOMATIC1111's name."""
_HIRES_IGNORED = ("hr_checkpoint_name", "hr_sampler_name", "hr_scheduler", "hr_prompt", "hr_negative_prompt")
_FORMATS: Mapping[str, str] = {"png": "png", "webp": "webp", "jpg": "jpeg", "jpeg": "jpeg"}

_EXTRA_NETWORK = re.compile(r"<(lora|lyco|hypernet):([^<>:]{1,120})(?::([^<>]{0,120}))?>", re.IGNORECASE)
_MULTIPLIER = re.compile(r"\s*(?:te=|unet=)?([+-]?(?:[0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9}))\s*(?::.*)?", re.ASCII)
_SYNTAX = re.compile(r"(?<!\\)[()\[\]]|\b(?:BREAK|AND)\b")
_UNSUPPORTED_SYNTAX = re.compile(r"(?<!\\)\[[^\[\]:|]*[:|]|\bAND\b")
"""Prompt editing and composed prompts."""


@dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """A parsed request. `echo`: its fields, for the response. `batch_size`: images at a time, as requested."""

    generation: GenerationRequest
    warnings: tuple[str, ...]
    send_images: bool
    batch_size: int
    echo: Mapping[str, Any]


def parse(sent: Mapping[str, Any], checkpoints: Checkpoints, owner: str, *, from_image: bool) -> ImageRequest:
    """Parse the fields of txt2img, or with `from_image` of img2img. Raises EaselError with a 4xx code."""
    known = {**DEFAULTS, **(IMAGE_DEFAULTS if from_image else {})}
    profile = checkpoints.chosen(owner, sent.get("override_settings"))
    lenient = LenientFields(profile, checkpoints.profiles[0])
    prompts = {name: _prompt(lenient, sent, name) for name in ("prompt", "negative_prompt")}
    batch_size = _set_numbers(lenient, sent)
    sampler = _text(sent, "sampler_name") or _text(sent, "sampler_index")
    set_scheduler(lenient, profile, sampler, _text(sent, "scheduler"))
    lenient.steps(sent.get("steps"), "steps")
    lenient.fields |= prompts
    lenient.fields["prompt_syntax"] = "plain" if profile.clip_layers is None else "weighted"
    lenient.clip_skip(sent.get("clip_skip"), "clip_skip")
    if from_image:
        _set_image(lenient, sent, profile)
    elif sent.get("enable_hr"):
        _set_hires(lenient, sent)
    set_control(lenient, sent)
    _set_settings(lenient, sent.get("override_settings"), checkpoints)
    _warn(lenient, sent, known)
    lenient.fit_response()
    return ImageRequest(
        generation=_validate(lenient, profile),
        warnings=tuple(lenient.warnings),
        send_images=sent.get("send_images") is not False,
        batch_size=batch_size,
        echo={name: default if name in _NOT_ECHOED else sent.get(name, default) for name, default in known.items()},
    )


def _validate(lenient: LenientFields, profile: ModelProfile) -> GenerationRequest:
    try:
        return validate_request(lenient.fields, profile)
    except EaselError as error:
        message, param = (
            text and re.sub(r"init_image|mask_image|strength|^images", lambda match: _NAMES[match[0]], text)
            for text in (error.message, error.param)
        )
        raise EaselError(error.code, message or "", hint=error.hint, param=param) from None


def _set_numbers(lenient: LenientFields, sent: Mapping[str, Any]) -> int:
    """Set size, number of images, guidance and seed. Return the images at a time."""
    lenient.size(sent.get("width"), sent.get("height"))
    numbers = [lenient.whole(sent.get(name), name) for name in ("batch_size", "n_iter")]
    batch_size, batches = (1 if number is None else max(1, number) for number in numbers)
    lenient.images(batch_size * batches, "batch_size x n_iter")
    lenient.guidance(sent.get("cfg_scale"), "cfg_scale")
    lenient.seed(sent.get("seed"), "seed")
    return min(batch_size, int(lenient.fields["num_images_per_prompt"]))


def _text(sent: Mapping[str, Any], name: str) -> str:
    value = sent.get(name)
    if not isinstance(value, str | None):
        refuse("wrong_type", name, f"{name} must be a string", "Send its name, or leave it out.")
    return value or ""


def _prompt(lenient: LenientFields, sent: Mapping[str, Any], name: str) -> str:
    """Return the prompt without tags of extra networks. Those of the model's LoRAs in a prompt are set."""
    prompt = _text(sent, name)
    loras: dict[str, float] = {}
    for kind, network, multiplier in dict.fromkeys(_EXTRA_NETWORK.findall(prompt)):
        found = find_lora(lenient.profile, network) if kind.lower() != "hypernet" and name == "prompt" else None
        if found is None or (found.id not in loras and len(loras) == LORAS.maximum):
            reason = "it is not supported by this model" if found is None else f"a request has {LORAS.maximum} at most"
            lenient.warnings.append(f"<{kind.lower()}:{network}> was left out of {name}: {reason}")
        else:
            loras[found.id] = _lora_scale(lenient, found, multiplier)
    lenient.loras([{"id": id, "scale": scale} for id, scale in loras.items()])
    prompt = _EXTRA_NETWORK.sub("", prompt)
    weighted = lenient.profile.clip_layers is not None
    if weighted and _UNSUPPORTED_SYNTAX.search(prompt):
        lenient.warnings.append(f"{name}: AND, and editing as in [a:b:0.5] or [a|b], have no special meaning")
    elif not weighted and _SYNTAX.search(prompt):
        lenient.warnings.append(f"{name} is read as plain text: (), [], BREAK and AND have no special meaning")
    return prompt


def find_lora(profile: ModelProfile, name: str) -> ProfileLora | None:
    """Return the LoRA of a model that a client names, by its id or its name."""
    wanted = name.strip().lower()
    return next((lora for lora in profile.loras if wanted in (lora.id, (lora.name or lora.id).lower())), None)


def _lora_scale(lenient: LenientFields, lora: ProfileLora, multiplier: str) -> float:
    """Return the first multiplier of a tag; the text encoder has no other than the rest."""
    match = _MULTIPLIER.fullmatch(multiplier)
    if not match:
        if multiplier:
            lenient.warnings.append(
                f"the multiplier {multiplier[:40]!r} of {lora.id} is no number; {lora.scale:g} was used"
            )
        return lora.scale
    scale = min(max(float(match[1]), LORA_SCALE.minimum), LORA_SCALE.maximum)
    if scale != float(match[1]):
        lenient.warnings.append(f"the multiplier {match[1]} of {lora.id} was changed to {scale:g}")
    return scale


def _set_image(lenient: LenientFields, sent: Mapping[str, Any], profile: ModelProfile) -> None:
    if sent.get("latent_mask"):
        message = f"latent_mask is not supported by this model ({profile.name})"
        refuse("not_supported", "latent_mask", message, "Send mask.")
    images = sent.get("init_images")
    if not isinstance(images, list) or not images or not isinstance(images[0], str):
        refuse("missing_field", "init_images", "init_images has no image", "Send a list with base64 of an image file.")
    if len(images) > 1 and not profile.edits:
        lenient.ignore("init_images after the first")
        images = images[:1]
    encoded = [base64_of(image) if isinstance(image, str) else image for image in images]
    strength = sent.get("denoising_strength")
    strength = STRENGTH if strength is None and not profile.edits else strength
    sized = any(sent.get(side) is not None for side in ("width", "height"))
    lenient.edit(encoded, ("init_images", "denoising_strength"), strength, sized=sized)
    if isinstance(mask := sent.get("mask"), str) and mask:
        lenient.fields["mask_image"] = base64_of(mask)
        lenient.fields["mask_mode"] = "black" if sent.get("inpainting_mask_invert") else "white"
        lenient.mask_blur(sent.get("mask_blur"), "mask_blur")
    elif mask:
        refuse("wrong_type", "mask", "mask must be a string", "Send base64 of an image file.")


def _set_hires(lenient: LenientFields, sent: Mapping[str, Any]) -> None:
    """Set the second pass. Its size is hr_scale times that of the first, or covers hr_resize_x and hr_resize_y."""
    sides = [
        (lenient.number(sent.get(f"hr_resize_{axis}"), f"hr_resize_{axis}") or 0) / lenient.fields[side]
        for axis, side in (("x", "width"), ("y", "height"))
    ]
    scale = max(sides) or lenient.number(sent.get("hr_scale"), "hr_scale")
    strength = lenient.number(sent.get("denoising_strength"), "denoising_strength")
    steps = lenient.whole(sent.get("hr_second_pass_steps"), "hr_second_pass_steps")
    name = "hr_resize_x, hr_resize_y" if any(sides) else "hr_scale"
    lenient.hires(scale, STRENGTH if strength is None else strength, steps, ("enable_hr", name))
    upscaler = _text(sent, "hr_upscaler")
    if "hires" in lenient.fields and upscaler not in ("", UPSCALER):
        lenient.warnings.append(f"hr_upscaler {upscaler[:80]!r} is not available; {UPSCALER} was used")
    for field in _HIRES_IGNORED:
        if sent.get(field) and sent[field] not in ("Use same checkpoint", "Use same sampler", "Use same scheduler"):
            lenient.ignore(field)


def _set_settings(lenient: LenientFields, settings: Any, checkpoints: Checkpoints) -> None:
    """Take the settings that apply to a single image: model, file format, and whether it contains its parameters."""
    if not isinstance(settings, dict | None):
        refuse("wrong_type", "override_settings", "override_settings must be an object", "Send {} or leave it out.")
    settings = settings or {}
    model = settings.get("sd_model_checkpoint")
    if model and not checkpoints.find(model):
        lenient.warnings.append(f"the model {str(model)[:80]!r} is not deployed; {lenient.profile.id} was used")
    file_format = settings.get("samples_format")
    if file_format:
        lenient.fields["output_format"] = _FORMATS.get(str(file_format).lower(), "png")
        if str(file_format).lower() not in _FORMATS:
            lenient.warnings.append(f"samples_format {str(file_format)[:80]!r} is not available; png was used")
    lenient.clip_skip(settings.get("CLIP_stop_at_last_layers"), "override_settings.CLIP_stop_at_last_layers")
    lenient.fields["embed_parameters"] = settings.get("enable_pnginfo") is True
    for name, value in settings.items():
        if name not in _USED_SETTINGS and value and value not in _IGNORED_SETTINGS.get(name, ()):
            lenient.ignore(f"override_settings.{name[:80]}")


def _warn(lenient: LenientFields, sent: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for script in other_scripts(sent.get("alwayson_scripts")):
        lenient.ignore(f"alwayson_scripts.{script}")
    for name, value in sent.items():
        if name not in known and name not in _CLIENT_FIELDS and value:
            lenient.ignore(name[:80], "this API has no such field")
        elif name in _IGNORED and value and value not in _IGNORED[name]:
            lenient.ignore(name)
