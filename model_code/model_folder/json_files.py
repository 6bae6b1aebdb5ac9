"""JSON files of a model folder."""

from __future__ import annotations

import json
from typing import Any

from .errors import ModelFolderError


def parse_settings(path: str, content: bytes) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises ModelFolderError: it is not a JSON object (a symbolic link in git is none), or it asks for code of its own.
    """
    value = parse_json(content)
    if not isinstance(value, dict):
        raise ModelFolderError(f"{path} is not a JSON object", "Use a folder that diffusers saved (save_pretrained).")
    if "auto_map" in value:
        raise ModelFolderError(f"{path} asks for code of its own (auto_map)", "Use a model that needs no such code.")
    return value


def parse_json(content: bytes) -> Any:
    """Return the value, or None if `content` is not JSON."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
