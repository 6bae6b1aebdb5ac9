"""JSON files of a model folder."""

from __future__ import annotations

import json
from typing import Any

from .errors import ModelFolderError

JSON_BYTES = 16 * 1024 * 1024
"""The largest JSON file that is read, but for vocabularies."""
VOCABULARY_BYTES = 64 * 1024 * 1024
_VOCABULARIES = ("added_tokens.json", "tekken.json", "tokenizer.json", "vocab.json")
"""Files with the vocabulary of a tokenizer. Their keys are words of any language, `auto_map` too."""


def max_bytes(path: str) -> int:
    """Return the size up to which a file of settings is read."""
    return VOCABULARY_BYTES if path.rpartition("/")[2] in _VOCABULARIES else JSON_BYTES


def parse_settings(path: str, content: bytes) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises ModelFolderError: it is not a JSON object in UTF-8 (a symbolic link in git is none), or asks for code of its
    own.
    """
    value = parse_json(content)
    if not isinstance(value, dict):
        raise ModelFolderError(
            f"{path} is not a JSON object in UTF-8", "Save it as diffusers does: without a byte order mark."
        )
    if path.rpartition("/")[2] not in _VOCABULARIES and _has_key(value, "auto_map"):
        raise ModelFolderError(f"{path} asks for code of its own (auto_map)", "Use a model that needs no such code.")
    return value


def parse_json(content: bytes) -> Any:
    """Return the value, or None if `content` is not JSON in UTF-8 without byte order mark, as diffusers reads it."""
    try:
        return json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        return None


def _has_key(value: Any, key: str) -> bool:
    """Return whether an object in `value`, at any depth, has the key."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            if key in item:
                return True
            pending += item.values()
        elif isinstance(item, list):
            pending += item
    return False
