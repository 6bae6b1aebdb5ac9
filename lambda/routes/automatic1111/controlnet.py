"""`alwayson_scripts.controlnet`: units of the extension sd-webui-controlnet, as ControlNets of a native request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from contract import (
    CONTROL_RANGE,
    CONTROL_SCALE,
    PREPROCESSORS,
    EaselError,
    FloatBound,
    ProfileControl,
    refuse,
)
from routes.lenient import LenientFields, base64_of

SCRIPT = "controlnet"
_WHERE = "alwayson_scripts.controlnet"
_NO_MODULE = ("", "none")
_IGNORED: Mapping[str, tuple[Any, ...]] = {
    "resize_mode": (1, "Crop and Resize"), "control_mode": (0, "Balanced"), "threshold_a": (-1, 0.5, 64, 100),
    "threshold_b": (-1, 0.5, 64, 200), "mask": (), "mask_image": (), "effective_region_mask": (),
    "inpaint_crop_input_image": (True,), "advanced_weighting": (), "ipadapter_input": (),
}  # fmt: skip
"""Fields of a unit that have no effect here: a warning, except for these values and empty ones."""


def other_scripts(scripts: Any) -> list[str]:
    """Return the names of scripts that are not available."""
    names = scripts if isinstance(scripts, dict) else {"alwayson_scripts": scripts} if scripts else {}
    return [str(name)[:80] for name in names if str(name).lower() != SCRIPT]


def set_control(lenient: LenientFields, sent: Mapping[str, Any]) -> None:
    """Set the ControlNets of the enabled units.

    Raises EaselError: a unit names a ControlNet or a module that is not available, or has no image.
    """
    scripts = sent.get("alwayson_scripts")
    named = scripts.items() if isinstance(scripts, dict) else ()
    script = next((value for name, value in named if name.lower() == SCRIPT), None)
    if script is None:
        return
    units = script.get("args") if isinstance(script, dict) else None
    if not isinstance(units, list) or not all(isinstance(unit, dict) for unit in units):
        refuse("wrong_type", _WHERE, f"{_WHERE}.args must be a list of objects", "Send a list of units.")
    enabled = [unit for unit in units if unit.get("enabled", True) and _used(lenient, unit)]
    most = lenient.profile.most_controls
    if len(enabled) > most:
        lenient.ignore(f"units of {_WHERE} after the first {most}")
    lenient.fields["control"] = [_unit(lenient, unit) for unit in enabled[:most]]


def _used(lenient: LenientFields, unit: Mapping[str, Any]) -> bool:
    """Return whether a unit has a ControlNet. Warn about a module that would work without."""
    without = str(unit.get("model") or "None").lower() == "none"
    if without and str(unit.get("module") or "").lower() not in _NO_MODULE:
        lenient.ignore(f"a unit of {_WHERE}", "it has no model")
    return not without


def _unit(lenient: LenientFields, unit: Mapping[str, Any]) -> dict[str, Any]:
    control = _find(lenient, str(unit["model"]))
    for name, values in _IGNORED.items():
        if unit.get(name) and unit[name] not in values:
            lenient.ignore(f"{name} of {_WHERE}")
    start, end = (unit.get(name) for name in ("guidance_start", "guidance_end"))
    return {
        "id": control.id,
        "image": _image(unit, lenient),
        "scale": _number(lenient, unit.get("weight"), "weight", CONTROL_SCALE),
        "start": _number(lenient, start, "guidance_start", CONTROL_RANGE),
        "end": _number(lenient, end, "guidance_end", CONTROL_RANGE),
        "preprocess": _preprocess(str(unit.get("module") or "").lower(), control),
    }


def _find(lenient: LenientFields, model: str) -> ProfileControl:
    """Return the ControlNet with this id or name, or whose id is a word of a file name such as control_sd15_canny."""
    offered = lenient.profile.controls
    name = re.sub(r"\s*\[[0-9a-fA-F]+\]$", "", model.strip()).lower()
    words = re.split(r"[^a-z0-9]+", name)
    for control in offered:
        if name in (control.id, control.name.lower()) or control.id in words:
            return control
    ids = ", ".join(control.id for control in offered)
    hint = f"Send one of: {ids}." if ids else "Leave out the script."
    message = f"{lenient.profile.name} has no ControlNet {model[:80]!r}"
    raise EaselError("unknown_value", message, hint=hint, param=_WHERE)


def _preprocess(module: str, control: ProfileControl) -> str | None:
    if module in _NO_MODULE:
        return None
    if module not in PREPROCESSORS or module != control.preprocess:
        message = f"the module {module[:80]!r} is not available for the ControlNet {control.id!r}"
        hint = "Send a map, with the module none" + (f", or use {control.preprocess}." if control.preprocess else ".")
        refuse("not_supported", _WHERE, message, hint)
    return module


def _image(unit: Mapping[str, Any], lenient: LenientFields) -> str:
    """Return the unit's image, by default the init_image."""
    image = unit.get("image") or unit.get("input_image")
    if isinstance(image, dict):
        if image.get("mask"):
            lenient.ignore(f"the mask of an image of {_WHERE}")
        image = image.get("image")
    if isinstance(image, str) and image:
        return base64_of(image)
    if isinstance(image := lenient.fields.get("init_image"), str) and image:
        return image
    message = f"a unit of {_WHERE} has no image"
    raise EaselError("missing_field", message, hint="Send base64 of an image file.", param=_WHERE)


def _number(lenient: LenientFields, value: Any, name: str, bound: FloatBound) -> float | None:
    number = lenient.number(value, name)
    if number is None:
        return None
    allowed = min(max(number, bound.minimum), bound.maximum)
    if allowed != number:
        lenient.warnings.append(f"{name} {number:g} of {_WHERE} was changed to {allowed:g}")
    return allowed
