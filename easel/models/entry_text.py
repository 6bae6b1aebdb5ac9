"""The text of an entry: its lists of extras, of which what is not changed keeps its form, and its file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_DECODER = json.JSONDecoder()
_TO_NAME = re.compile(r'[\s,]*(?=")')
_TO_ITEM = re.compile(r"[\s,]*(?=[^\s,\]])")


def write(file: Path, text: str) -> None:
    """Replace the file of an entry at once, or leave it as it is. Raises OSError."""
    part = file.with_name(f".{file.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(file)
    except BaseException:  # an interruption, too
        part.unlink(missing_ok=True)
        raise


def insert(text: str, key: str, item: Mapping[str, Any]) -> str:
    """Return the text of an entry with an item more in the list `key`."""
    line = f"    {json.dumps(item, ensure_ascii=False)}\n  ]"
    for name, start, end in _values(text):
        if name == key:
            more = any(_items(text, start))
            return f"{text[: end - 1].rstrip()}{',' if more else ''}\n{line}{text[end:]}"
    return f'{text[: text.rindex("}")].rstrip()},\n  "{key}": [\n{line}\n}}\n'


def remove(text: str, key: str, id: str) -> str:
    """Return the text of an entry without the item `id` of the list `key`. An empty list goes, too."""
    before = text.index("{") + 1
    for name, start, end in _values(text):
        if name == key:
            return _without_item(text, list(_items(text, start)), id) or _without(text, before, end)
        before = end
    return text


def _without_item(text: str, items: list[tuple[Any, int, int]], id: str) -> str:
    """Return the text without one of several items; empty: it is the only one."""
    number = next(number for number, (item, _, _) in enumerate(items) if item["id"] == id)
    if number:
        return text[: items[number - 1][2]] + text[items[number][2] :]
    return text[: items[0][1]] + text[items[1][1] :] if len(items) > 1 else ""


def _without(text: str, before: int, end: int) -> str:
    """Return the text without the value that ends at `end`. `before`: where the value before it ends, or the brace."""
    rest = text[end:]
    return text[:before] + (rest.lstrip().removeprefix(",") if text[before - 1] == "{" else rest)


def _values(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the name of each value, and where it starts and ends."""
    at = text.index("{") + 1
    while match := _TO_NAME.match(text, at):
        name, at = _DECODER.raw_decode(text, match.end())
        start = len(text) - len(text[at:].lstrip(": \t\r\n"))
        _, at = _DECODER.raw_decode(text, start)
        yield name, start, at


def _items(text: str, start: int) -> Iterator[tuple[Any, int, int]]:
    """Yield each item of the list at `start`, and where it starts and ends."""
    at = start + 1
    while match := _TO_ITEM.match(text, at):
        value, at = _DECODER.raw_decode(text, match.end())
        yield value, match.end(), at
