"""A checkpoint on this machine."""

from __future__ import annotations

from pathlib import Path

from ..files import File
from ..model_folder import ModelFolderError
from .source import SingleFile


def local_file(path: Path) -> SingleFile:
    """Return the file. Raises ModelFolderError: it cannot be read."""

    def fetch(first: int, end: int) -> bytes:
        with path.open("rb") as file:
            file.seek(first)
            return file.read(end - first)

    try:
        fetch(0, 1)
        size = path.stat().st_size
    except OSError as error:
        message = f"{path.name} cannot be read ({error.strerror})"
        raise ModelFolderError(message, "Check the path and its permissions.") from None
    return SingleFile(File(path.name, size, "unknown:", str(path), path.name), fetch)
