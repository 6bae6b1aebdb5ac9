"""Chinese names of the model's subjects. They are in a file: a function's variables are limited to 4 KB."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

_FILE = Path(__file__).parents[1] / "vocabulary.json"
"""A copy of the embedded model's: the names of each subject, the English ones first. `make mirror` writes it."""


def in_chinese(names: Iterable[str]) -> list[str]:
    """Return the Chinese name of each subject; unknown names stay unchanged."""
    return [_chinese_names().get(name, name) for name in names]


@cache
def _chinese_names() -> Mapping[str, str]:
    subjects = json.loads(_FILE.read_text(encoding="utf-8"))
    return {names[0]: next((name for name in names if not name.isascii()), names[0]) for names in subjects}
