"""What things are called in Chinese. A function takes 4 KB of variables, so this lies in a file beside the code."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

_FILE = Path(__file__).parents[1] / "vocabulary.json"
"""A copy of the embedded model's: names of each thing, the English ones first. `make mirror` writes it."""


def in_chinese(names: Iterable[str]) -> list[str]:
    """One for each; a name that is not known stays as it is."""
    return [_chinese().get(name, name) for name in names]


@cache
def _chinese() -> Mapping[str, str]:
    things = json.loads(_FILE.read_text(encoding="utf-8"))
    return {thing[0]: next((name for name in thing if not name.isascii()), thing[0]) for thing in things}
