"""Explain pydantic's validation errors in one sentence: the key, its value and what is allowed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import AfterValidator, BaseModel, BeforeValidator, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

Location = tuple[int | str, ...]


class ConfigError(ValueError):
    """A setting or a catalogue entry that cannot be used.

    `code` is stable, for example unknown_key, missing, wrong_type, not_allowed, out_of_range, wrong_form or conflict.
    `key` names the setting or the field; it is empty where the error concerns all of them.
    """

    def __init__(self, message: str, *, code: str = "invalid", key: str = "") -> None:
        super().__init__(message)
        self.code, self.key = code, key


@dataclass(frozen=True)
class Form:
    """A check that a text matches `pattern`. Python's `re`, since pydantic's engine has no look-ahead."""

    pattern: str
    example: str

    def __call__(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text, re.ASCII):
            raise PydanticCustomError("wrong_form", "it must be {allowed}", {"allowed": self.example})
        return text


def matches(pattern: str, example: str) -> AfterValidator:
    """Return the check that a text matches `pattern`; the error shows `example`."""
    return AfterValidator(Form(pattern, example))


def _whole_number(value: object) -> int:
    """Return an integer from JSON or from `-c key=value`. Pydantic would also take True, "1.0" and " 1 "."""
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value, re.ASCII):
        return int(value)
    if type(value) is int:
        return value
    raise PydanticCustomError("int_type", "it must be a whole number")


WholeNumber = BeforeValidator(_whole_number)


def failure(code: str, key: str, message: str) -> PydanticCustomError:
    """Return the error of a check on several fields. `message` is a whole sentence."""
    return PydanticCustomError(code, "{message}", {"message": message, "key": key})


def explain(
    error: ValidationError, model_at: Callable[[Location], type[BaseModel]], *, kind: str
) -> tuple[str, str, str]:
    """Return message, code and key of the error to correct first.

    `model_at` returns the model that has the field at a location. `kind` is what a key is called.
    """
    details = min(error.errors(include_url=False), key=lambda item: _ORDER.get(item["type"], 1))
    context, location = details.get("ctx", {}), details["loc"]
    if "message" in context:
        return context["message"], details["type"], context["key"]
    key, code = ".".join(map(str, location)), _CODES.get(details["type"], "wrong_type")
    if code == "unknown_key":
        return f"{key!r} is not a {kind}. {nearest(str(location[-1]), model_at(location).model_fields)}", code, key
    if code == "missing":
        return f"{key} is missing.", code, key
    field = model_at(location).model_fields.get(str(location[-1])) if location else None
    return f"{key or 'it'} is {details['input']!r}; it must be {_expected(details, field)}.", code, key


def nearest(key: str, known: Iterable[str]) -> str:
    """Return a sentence with the known name that is nearest to `key`, or with all known names."""
    names = list(known)
    swapped = [name for name in names if sorted(name) == sorted(key)]
    near = swapped or difflib.get_close_matches(key, names, n=1, cutoff=0.6)
    return f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(names)}."


def allowed_values(field: FieldInfo) -> str:
    """Return the values that a field may have, such as "0 to 100" or "async or realtime"; empty for any text."""
    if get_origin(field.annotation) is Literal:
        return _alternatives(get_args(field.annotation))
    if isinstance(key := field.discriminator, str):
        kinds = [model.model_fields[key].default for model in get_args(field.annotation)]
        return f"an object whose {key} is {_alternatives(kinds)}"
    forms = [item.func for item in field.metadata if isinstance(item, AfterValidator)]
    if examples := [form.example for form in forms if isinstance(form, Form)]:
        return examples[0]
    return _range(field.metadata)


_ORDER = {"extra_forbidden": 0, "default_factory_not_called": 2}
"""A misspelt key also makes the correct key missing; a default by mode also fails where the mode fails."""
_CODES = {
    "extra_forbidden": "unknown_key",
    "missing": "missing",
    "wrong_form": "wrong_form",
    **dict.fromkeys(("literal_error", "union_tag_invalid", "union_tag_not_found"), "not_allowed"),
    **dict.fromkeys(
        ("greater_than", "greater_than_equal", "less_than_equal", "finite_number", "too_short"), "out_of_range"
    ),
}
"""Type of a pydantic error to the code of a ConfigError; any other type is `wrong_type`."""
_TYPES = {
    "string": "a text",
    "path": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "tuple": "a list",
    "dict": "an object",
    "model": "an object",
    "too": "a list of the right length",
}
"""First word of the type of a pydantic error to what is expected."""


def _expected(details: ErrorDetails, field: FieldInfo | None) -> str:
    context, type_ = details.get("ctx", {}), details["type"]
    if "allowed" in context:
        return str(context["allowed"])
    if type_ == "too_short":
        return "a list with at least one item"
    if field and _CODES.get(type_) in ("not_allowed", "out_of_range") and (allowed := allowed_values(field)):
        return allowed
    if type_ == "literal_error":  # of a field that may be null
        return str(context["expected"]).replace("'", "")
    return _TYPES.get(type_.partition("_")[0], "of another type")


def _alternatives(values: Iterable[object]) -> str:
    *others, last = map(str, values)
    return f"{', '.join(others)} or {last}" if others else last


def _range(metadata: Iterable[Any]) -> str:
    limits = {type(item): item for item in metadata}
    if Le in limits:
        return f"{limits[Ge].ge} to {limits[Le].le}"
    return f"more than {limits[Gt].gt}" if Gt in limits else f"{limits[Ge].ge} or more" if Ge in limits else ""
