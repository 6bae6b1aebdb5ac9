"""Inputs of predictions, as a native request. Models on Replicate give the same input different names."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from contract import (
    GUIDANCE,
    IMAGES,
    OUTPUT_FORMATS,
    PROMPT_SYNTAXES,
    SEED,
    SIDE_MULTIPLE,
    STRENGTH,
    EaselError,
    GenerationRequest,
    ModelProfile,
    clip_skip_bound,
    refuse,
    steps_bound,
    validate_request,
)
from routes.lenient import OWN_FIELDS, LenientFields, base64_of
from routes.scheduler_names import native_scheduler

NAMES: Mapping[str, tuple[str, ...]] = {
    "prompt": ("prompt",),
    "negative_prompt": ("negative_prompt",),
    "width": ("width",),
    "height": ("height",),
    "num_outputs": ("num_outputs", "num_images", "num_images_per_prompt"),
    "num_inference_steps": ("num_inference_steps", "steps"),
    "guidance_scale": ("guidance_scale", "guidance", "cfg_scale"),
    "scheduler": ("scheduler", "sampler"),
    "seed": ("seed",),
    "image": ("image", "init_image", "input_image"),
    "input_images": ("input_images", "image_input", "images"),
    "mask": ("mask", "mask_image"),
    "prompt_strength": ("prompt_strength", "strength", "image_strength"),
    "output_format": ("output_format",),
    "aspect_ratio": ("aspect_ratio",),
    "image_dimensions": ("image_dimensions",),
    "loras": ("loras",),
    **{name: (name,) for name in OWN_FIELDS},
}
"""The name of an input here, to the names that it may have."""
INPUTS: Mapping[str, str] = {
    "num_images_per_prompt": "num_outputs", "init_image": "image", "strength": "prompt_strength", "mask_image": "mask",
    "images": "input_images",
}  # fmt: skip
"""Native names to those of inputs, where they differ."""
_UNSUPPORTED = ("lora_weights", "replicate_weights", "extra_lora")
_WITHOUT_EFFECT = (
    "output_quality",
    "disable_safety_checker",  # returns images with a flag, where that is allowed
    "go_fast",
    "megapixels",
    "lora_scale",
    "extra_lora_scale",
)
_RATIO = re.compile(r"\s*([0-9]{1,4})\s*:\s*([0-9]{1,4})\s*", re.ASCII)
_SIZE = re.compile(r"\s*([0-9]{1,5})\s*x\s*([0-9]{1,5})\s*", re.ASCII)


def parse(sent: Any, profile: ModelProfile, default: ModelProfile | None = None) -> tuple[GenerationRequest, list[str]]:
    """Return the request and warnings. `default`: as in `LenientFields`.

    Raises EaselError with a 4xx code, whose `param` begins with `input`.
    """
    if not isinstance(sent, dict):
        refuse("missing_field", "input", "input is missing", 'For example {"input": {"prompt": "a red apple"}}.')
    value = {name: item for name, item in sent.items() if item is not None and item != ""}
    try:
        for name in _UNSUPPORTED:
            if value.get(name):
                refuse(
                    "not_supported", name, f"{name} is not supported by this model ({profile.name})", "Leave it out."
                )
        lenient = LenientFields(profile, default)
        used = {own: item for own, names in NAMES.items() if (item := _first(value, names)) is not None}
        _set(lenient, used, profile)
        if value.get("disable_safety_checker") is True and "flag" in profile.content:
            lenient.fields.setdefault("content", "flag")
        known = {name for names in NAMES.values() for name in names} | {*_UNSUPPORTED, *_WITHOUT_EFFECT}
        for name, item in value.items():
            if name not in known and item:
                lenient.ignore(name[:80], "this model has no such input")
        return validate_request(lenient.fields, profile), lenient.warnings
    except EaselError as error:
        field, bracket, index = (error.param or "").partition("[")
        name = INPUTS.get(field, field) + bracket + index
        message = error.message.replace(error.param or name, name)
        raise EaselError(error.code, message, hint=error.hint, param=f"input.{name}" if name else "input") from None


def input_schema(profile: ModelProfile) -> dict[str, Any]:
    """Return the schema of inputs, as the versions of a model have it."""
    steps = steps_bound(profile, profile.scheduler)
    width, height = profile.sizes[0]
    numbers = {
        "width": {"type": "integer", "default": width},
        "height": {"type": "integer", "default": height},
        "num_outputs": {**_range("integer", IMAGES.minimum, IMAGES.maximum), "default": 1},
        "num_inference_steps": {**_range("integer", steps.minimum, steps.maximum), "default": profile.steps},
        "guidance_scale": {**_range("number", GUIDANCE.minimum, GUIDANCE.maximum), "default": profile.guidance_scale},
        "seed": _range("integer", SEED.minimum, SEED.maximum),
    }
    if not profile.takes_guidance_scale:
        del numbers["guidance_scale"]
    image = {
        "image": {"type": "string", "format": "uri", "description": "Data URL of an image to start from"},
        "mask": {"type": "string", "format": "uri", "description": "Data URL; white is generated anew"},
        "prompt_strength": _range("number", STRENGTH.minimum, STRENGTH.maximum),
    }
    properties = {
        "prompt": {"type": "string"},
        **({"negative_prompt": {"type": "string", "default": ""}} if profile.takes_negative_prompt else {}),
        **numbers,
        "scheduler": {"type": "string", "enum": list(profile.schedulers), "default": profile.scheduler},
        "output_format": {"type": "string", "enum": list(OUTPUT_FORMATS), "default": "png"},
        **(image if profile.image_to_image else {}),
        **({"input_images": _input_images(profile)} if profile.edits else {}),
        **({"loras": {"type": "array", "items": {"type": "object"}}} if profile.loras else {}),
        **(_weighted(profile.clip_layers) if profile.clip_layers else {}),
        **({"hires": {"type": "object", "description": "scale, strength, steps"}} if profile.image_to_image else {}),
        **({"content": {"type": "string", "enum": list(profile.content)}} if profile.content else {}),
    }
    ordered = {name: {"title": name, **schema, "x-order": i} for i, (name, schema) in enumerate(properties.items())}
    return {"title": "Input", "type": "object", "required": ["prompt"], "properties": ordered}


def _input_images(profile: ModelProfile) -> dict[str, Any]:
    item = {"type": "string", "format": "uri"}
    return {"type": "array", "items": item, "maxItems": profile.edits, "description": "Data URLs of images to look at"}


def _weighted(clip_layers: int) -> dict[str, Any]:
    bound = clip_skip_bound(clip_layers)
    return {
        "prompt_syntax": {"type": "string", "enum": list(PROMPT_SYNTAXES), "default": PROMPT_SYNTAXES[0]},
        "clip_skip": _range("integer", bound.minimum, bound.maximum),
    }


def _range(kind: str, minimum: float, maximum: float) -> dict[str, Any]:
    return {"type": kind, "minimum": minimum, "maximum": maximum}


def _first(value: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((value[name] for name in names if name in value), None)


def _set(lenient: LenientFields, used: Mapping[str, Any], profile: ModelProfile) -> None:
    lenient.loras(used.get("loras"))
    for name in ("prompt", "negative_prompt"):
        lenient.text(name, used.get(name), name)
    _set_size(lenient, used, profile)
    if "scheduler" in used:
        name = str(used["scheduler"])
        lenient.scheduler(native_scheduler(name), name, "scheduler")
    lenient.steps(used.get("num_inference_steps"), "num_inference_steps")
    lenient.guidance(used.get("guidance_scale"), "guidance_scale")
    lenient.images(used.get("num_outputs"), "num_outputs")
    lenient.seed(used.get("seed"), "seed")
    if "output_format" in used:
        lenient.fields["output_format"] = {"jpg": "jpeg"}.get(str(used["output_format"]), used["output_format"])
    _set_images(lenient, used)
    if "mask" in used:
        lenient.fields["mask_image"] = _image(used["mask"], "mask")
    lenient.own_fields(used)


def _set_images(lenient: LenientFields, used: Mapping[str, Any]) -> None:
    """Set the images to change: those of `image`, then those of `input_images`, each one or a list."""
    images = []
    for name in ("image", "input_images"):
        value = used.get(name, [])
        images += [_image(item, name) for item in (value if isinstance(value, list) else [value])]
    if images:
        sized = any(used.get(name) is not None for name in ("width", "height", "image_dimensions"))
        sized = sized or used.get("aspect_ratio") not in (None, "custom", "match_input_image")
        name = "input_images" if "input_images" in used else "image"
        lenient.edit(images, (name, "prompt_strength"), used.get("prompt_strength"), sized=sized)


def _set_size(lenient: LenientFields, used: Mapping[str, Any], profile: ModelProfile) -> None:
    """Set the size: of width and height, of image_dimensions, or of the aspect ratio with the model's usual area."""
    width, height = used.get("width"), used.get("height")
    if width is None and height is None and "image_dimensions" in used:
        match = _SIZE.fullmatch(str(used["image_dimensions"]))
        if not match:
            refuse("unknown_value", "image_dimensions", "image_dimensions must be like 512x512", "Send width x height.")
        width, height = int(match[1]), int(match[2])
    elif width is None and height is None and used.get("aspect_ratio") not in (None, "custom", "match_input_image"):
        match = _RATIO.fullmatch(str(used["aspect_ratio"]))
        if not match or not int(match[1]) or not int(match[2]):
            refuse("unknown_value", "aspect_ratio", "aspect_ratio must be like 16:9", "Send width:height.")
        ratio, area = int(match[1]) / int(match[2]), math.prod(profile.sizes[0])
        width, height = (
            round(math.sqrt(side) / SIDE_MULTIPLE) * SIDE_MULTIPLE for side in (area * ratio, area / ratio)
        )
    lenient.size(width, height)


def _image(value: Any, name: str) -> str:
    if not isinstance(value, str) or value[:5].lower() != "data:":
        hint = "Send a data URL such as data:image/png;base64,…; clients make one of a file."
        refuse("bad_image", name, f"{name} is not a data URL, and other URLs are not downloaded", hint)
    return base64_of(value)
