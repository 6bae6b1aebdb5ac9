"""Kinds of values in a JSON file, and the check of its fields."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ModelFolderError

_SHOWN_CHARS = 80


@dataclass(frozen=True)
class Kind:
    """What a field may be: in words, and as a check."""

    name: str
    accepts: Callable[[Any], bool]

    def __or__(self, other: Kind) -> Kind:
        return Kind(f"{self.name} or {other.name}", lambda value: self.accepts(value) or other.accepts(value))


Kinds = dict[str, Kind]
"""Field to what it may be."""


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:_SHOWN_CHARS]


def one_of(*values: Any) -> Kind:
    return Kind(
        " or ".join(map(_shown, values)),
        lambda value: any(type(value) is type(item) and value == item for item in values),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def list_of(kind: Kind) -> Kind:
    """Return the kind of a list that is not empty."""
    return Kind(
        f"a list, each {kind.name}",
        lambda value: isinstance(value, list) and value != [] and all(map(kind.accepts, value)),
    )


NULL = one_of(None)
NUMBER = Kind("a number", _is_number)
POSITIVE = Kind("a number above 0", lambda value: _is_number(value) and value > 0)
DECIMAL = Kind("a number with a decimal point", lambda value: isinstance(value, float))
POSITIVE_DECIMAL = Kind(f"{DECIMAL.name}, above 0", lambda value: isinstance(value, float) and value > 0)
FRACTION = Kind("a number between 0 and 1", lambda value: _is_number(value) and 0 < value < 1)
COUNT = Kind("a whole number above 0", lambda value: isinstance(value, int) and value > 0 and value is not True)
WHOLE = Kind("a whole number from 0", lambda value: isinstance(value, int) and value >= 0 and value is not True)
TOKEN = Kind("the number of a token", lambda value: isinstance(value, int) and not isinstance(value, bool))
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
TEXT = Kind("a text", lambda value: isinstance(value, str))
LIST = Kind("a list", lambda value: isinstance(value, list))
COUNTS = list_of(COUNT)


def check_fields(path: str, settings: Mapping[str, Any], kinds: Kinds, prefix: str = "") -> None:
    """Raise ModelFolderError for the first field whose value is of another kind. Missing fields have defaults."""
    for field, kind in kinds.items():
        if field in settings and not kind.accepts(settings[field]):
            raise wrong_value(path, prefix + field, settings[field], f"It must be {kind.name}.")


def wrong_value(path: str, field: str, value: Any, hint: str) -> ModelFolderError:
    return ModelFolderError(
        f"{path} has {_shown(value)} as {field}", f"{hint} Use the file that the weights came with."
    )
