"""Values that compatible APIs accept, changed to the nearest that the model takes, each change with a warning.

The native API refuses such values. Clients of other APIs send what those servers accept, and cannot be changed.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from contract import (
    DEFAULT_HIRES_SCALE,
    GUIDANCE,
    HIRES_SCALE,
    IMAGES,
    MASK_BLUR,
    SEED,
    SIDE,
    SIDE_MULTIPLE,
    STRENGTH,
    EaselError,
    ModelProfile,
    clip_skip_bound,
    edit_size,
    loads,
    refuse,
    steps_bound,
    upright_size,
)

OWN_FIELDS = ("prompt_syntax", "clip_skip", "hires", "content")
"""Native fields that most APIs take as they are."""
LARGEST = 10**40
"""Beyond all bounds, and small enough to be computed and shown as a float."""
INLINE_PIXELS = 2 * 1024 * 1024
"""Pixels of PNG files that fit into one response as base64: 2.6 MB for each 2^20 pixels of a photograph."""


class LenientFields:
    """The native `fields` of a request to a compatible API, and the `warnings` about what was changed or ignored.

    Methods take a value as sent (a number, or its text in a form) and the name that it has in that API, for messages.
    None and an empty text leave the model's default. Raises EaselError `wrong_type` for what is no number. `default`:
    the model of requests that name none.
    """

    def __init__(self, profile: ModelProfile, default: ModelProfile | None = None) -> None:
        self.profile = profile
        """Bounds and defaults of the request."""
        self.fields: dict[str, Any] = {} if default in (None, profile) else {"model": profile.id}
        self.warnings: list[str] = []

    def ignore(self, name: str, reason: str = "it is not supported here") -> None:
        """Warn about a field that has no effect."""
        self.warnings.append(f"{name.strip() or repr(name)} was ignored: {reason}")

    def text(self, field: str, value: Any, name: str) -> None:
        """Set a prompt. Other APIs than the native take no list."""
        if not isinstance(value, str | None):
            refuse("wrong_type", name, f"{name} must be a string", "Send one text.")
        self.fields[field] = value

    def loras(self, value: Any, name: str = "loras") -> None:
        """Set the LoRAs: a list of objects, or JSON of one. Call it first: a LoRA can change the model's defaults.

        Values are not changed: no client sends them unless its user does.
        """
        if value in (None, "", [], "[]"):
            return
        if isinstance(value, str):
            try:
                value = loads(value)
            except EaselError:
                refuse("wrong_type", name, f"{name} must be a list of objects", "Send JSON.")
        self.fields["loras"] = value
        if isinstance(value, list):
            ids = [item["id"] for item in value if isinstance(item, dict) and isinstance(item.get("id"), str)]
            self.profile = self.profile.with_loras(ids)

    def size(self, width: Any, height: Any, names: tuple[str, str] = ("width", "height")) -> None:
        """Set the size: scaled down to the model's largest side, and to multiples of 8."""
        default = self.profile.sizes[0]
        sides = [self.number(value, name) for value, name in zip((width, height), names, strict=True)]
        wanted = [default[i] if side is None else side for i, side in enumerate(sides)]
        largest = min(SIDE.maximum, self.profile.max_side)
        scale = min(1.0, largest / max(*wanted, 1))
        fitted = [self._side(side * scale, largest) for side in wanted]
        self.fields["width"], self.fields["height"] = fitted
        if fitted != wanted:
            self.warnings.append(f"the size {wanted[0]:g}x{wanted[1]:g} was changed to {fitted[0]}x{fitted[1]}")

    def scheduler(self, scheduler: str | None, sent: str, name: str) -> None:
        """Set the scheduler: the native name of `sent`, or None if it has none."""
        if scheduler in self.profile.schedulers:
            self.fields["scheduler"] = scheduler
        else:
            self.warnings.append(f"{name} {sent[:80]!r} is not available; {self.profile.scheduler} was used")

    def steps(self, value: Any, name: str) -> None:
        """Set the steps. Call it after `scheduler`, which bounds them."""
        bound = steps_bound(self.profile, self.fields.get("scheduler", self.profile.scheduler))
        self._clamp("num_inference_steps", self.whole(value, name), name, bound.minimum, bound.maximum)

    def guidance(self, value: Any, name: str) -> None:
        self._clamp("guidance_scale", self.number(value, name), name, GUIDANCE.minimum, GUIDANCE.maximum)

    def strength(self, value: Any, name: str) -> None:
        self._clamp("strength", self.number(value, name), name, STRENGTH.minimum, STRENGTH.maximum)

    def edit(self, images: Sequence[str], names: tuple[str, str], strength: Any, *, sized: bool) -> None:
        """Set images (base64) to look at or, for a model that cannot, one to start from with a `strength`.

        `names`: of the images, and of the strength. `sized`: the request has a size; else it follows the first image.
        """
        if not self.profile.edits:
            if len(images) > 1:
                message = f"several images are not supported by this model ({self.profile.name})"
                refuse("not_supported", names[0], message, "Send one image.")
            self.fields["init_image"] = images[0]
            self.strength(strength, names[1])
            return
        self.fields["images"] = list(images)
        if strength not in (None, ""):
            self.ignore(names[1], "this model looks at images, and the prompt says how much changes")
        if not sized:
            with suppress(ValueError):  # the contract refuses what is no base64
                size = upright_size(base64.b64decode(images[0], validate=True))
                self.fields["width"], self.fields["height"] = edit_size(size, self.profile) if all(size) else size

    def mask_blur(self, value: Any, name: str) -> None:
        self._clamp("mask_blur", self.whole(value, name), name, MASK_BLUR.minimum, MASK_BLUR.maximum)

    def images(self, value: Any, name: str) -> None:
        self._clamp("num_images_per_prompt", self.whole(value, name), name, IMAGES.minimum, IMAGES.maximum)

    def seed(self, value: Any, name: str) -> None:
        """Set the seed. A negative one is random; of a larger one, the low 32 bits are used."""
        seed = self.whole(value, name)
        if seed is None or seed < 0:
            return
        self.fields["seed"] = seed % (SEED.maximum + 1)
        if seed > SEED.maximum:
            self.warnings.append(f"{name} {seed} was changed to {self.fields['seed']}: seeds have 32 bits")

    def own_fields(self, value: Mapping[str, Any]) -> None:
        """Set `OWN_FIELDS` as they are sent: clients know them from the native API. A form has them as texts."""
        for name in OWN_FIELDS:
            if (item := value.get(name)) in (None, ""):
                continue
            if isinstance(item, str) and name not in ("prompt_syntax", "content"):
                with suppress(EaselError):  # the contract refuses a text by the field's name
                    item = loads(item)
            self.fields[name] = item

    def clip_skip(self, value: Any, name: str) -> None:
        """Set clip_skip. 1 is AUTOMATIC1111's default and leaves the model's own."""
        layer = self.whole(value, name)
        if layer is None or layer <= 1:
            return
        if self.profile.clip_layers is None:
            self.ignore(name)
        else:
            bound = clip_skip_bound(self.profile.clip_layers)
            self._clamp("clip_skip", layer, name, bound.minimum, bound.maximum)

    def hires(self, scale: float | None, strength: float, steps: int | None, names: tuple[str, str]) -> None:
        """Set a second pass in which `steps` run, by default the request's. Call it after `size` and `steps`.

        `names`: of the field that asks for it, and of the scale.
        """
        largest = min(SIDE.maximum, self.profile.max_side)
        largest -= largest % SIDE_MULTIPLE
        limit = min(HIRES_SCALE.maximum, largest / max(self.fields["width"], self.fields["height"]))
        if not self.profile.image_to_image or limit < HIRES_SCALE.minimum:
            self.ignore(names[0], "this model has no second pass, or no size for its result")
            return
        wanted = DEFAULT_HIRES_SCALE if scale is None else scale
        used = min(max(wanted, HIRES_SCALE.minimum), limit)
        if used != wanted:
            self.warnings.append(f"{names[1]} {wanted:g} was changed to {used:g}")
        strength = min(max(strength, STRENGTH.minimum), STRENGTH.maximum)
        bound = steps_bound(self.profile, self.fields.get("scheduler", self.profile.scheduler))
        run = steps or self.fields.get("num_inference_steps", self.profile.steps)
        schedule = min(max(round(run / strength), bound.minimum), bound.maximum)
        if schedule < round(run / strength):
            self.warnings.append(f"the second pass runs {max(1, round(schedule * strength))} in place of {run} steps")
        self.fields["hires"] = {"scale": used, "strength": strength, "steps": schedule}

    def fit_response(self) -> None:
        """Choose WebP where PNG files of this size would probably not fit into one response. Call it last."""
        fields = self.fields
        hires = fields.get("hires")
        scale = hires.get("scale") or DEFAULT_HIRES_SCALE if isinstance(hires, dict) else 1
        pixels = fields["width"] * fields["height"] * fields.get("num_images_per_prompt", 1)
        if isinstance(scale, int | float) and HIRES_SCALE.minimum <= scale <= HIRES_SCALE.maximum:
            pixels *= scale**2  # the contract refuses any other
        if pixels > INLINE_PIXELS and fields.get("output_format", "png") == "png":
            fields["output_format"] = "webp"
            self.warnings.append("the images are WebP: as PNG they would not fit into one response")

    def _clamp(self, field: str, value: float | None, name: str, minimum: float, maximum: float) -> None:
        if value is None:
            return
        self.fields[field] = min(max(value, minimum), maximum)
        if self.fields[field] != value:
            self.warnings.append(f"{name} {value:g} was changed to {self.fields[field]:g}")

    @staticmethod
    def _side(side: float, largest: int) -> int:
        return min(max(SIDE.minimum, round(side / SIDE_MULTIPLE) * SIDE_MULTIPLE), largest - largest % SIDE_MULTIPLE)

    def whole(self, value: Any, name: str) -> int | None:
        """Return a whole number, exact where it was sent as an integer, and at most `LARGEST` from 0."""
        if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,40}\s*", value, re.ASCII):
            value = int(value)
        number = value if type(value) is int else self.number(value, name)
        return None if number is None else min(max(round(number), -LARGEST), LARGEST)

    @staticmethod
    def number(value: Any, name: str) -> float | None:
        if value is None or value == "":
            return None
        try:
            number = float(value) if type(value) in (int, float, str) else math.nan
        except (ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            refuse("wrong_type", name, f"{name} must be a number", "Send a number, or leave it out.")
        return number


def renamed(error: EaselError, names: Mapping[str, str]) -> EaselError:
    """Return the error with an API's own names of fields. `names`: native name to own name."""
    message, hint = error.message, error.hint
    for native, name in names.items():
        text = rf"\b{native}(?=\[)" if native == "images" else native  # the word alone can mean the results
        message, hint = re.sub(text, name, message), re.sub(text, name, hint)
    field, bracket, index = (error.param or "").partition("[")
    return EaselError(error.code, message, hint=hint, param=names.get(field, field) + bracket + index or None)


def base64_of(text: str) -> str:
    """Return the base64 of a text that may be a data URL, wrapped into lines, or not padded."""
    encoded = re.sub(r"\s", "", text.rpartition(",")[2] if text[:5].lower() == "data:" else text)
    return encoded + "=" * (-len(encoded) % 4)
