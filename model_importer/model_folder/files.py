"""The port through which the rule reads a model folder: on this machine, in a hub or in S3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from .errors import ModelFolderError
from .json_files import max_bytes, parse_settings


class Files(Protocol):
    """The files of a model folder. Paths are relative to it and have slashes."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """Bytes of each file."""

    def read(self, path: str, first: int, end: int) -> bytes:
        """Return the bytes from `first` up to, not including, `end`."""


def read_settings(files: Files, path: str) -> dict[str, Any]:
    """Return the object in a JSON file. Its size is checked first. Raises ModelFolderError."""
    size, limit = files.sizes[path], max_bytes(path)
    if size > limit:
        raise ModelFolderError(f"{path} is too large: {size} bytes", f"It may have {limit} bytes.")
    return parse_settings(path, files.read(path, 0, size))
