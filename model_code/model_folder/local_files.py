"""Selection of the files of a model folder on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .check import read_index
from .errors import ModelFolderError
from .json_files import parse_settings
from .selection import DEFAULT_VARIANT, select_files
from .vocabulary import VOCABULARY_FILE


def select_local_files(folder: Path) -> list[str]:
    """Return the paths to release, sorted: those of `select_files`, and the vocabulary.

    Raises ModelFolderError.
    """

    def read(name: str) -> bytes:
        return (folder / name).read_bytes()

    names = list(_names(folder))
    index = read_index(folder)
    selected = select_files(names, index, dict.fromkeys(index.component_names, DEFAULT_VARIANT), read)
    for name in selected:
        if name.endswith(".json"):
            parse_settings(name, read(name))
    return sorted({*selected, VOCABULARY_FILE} & {*names})


def _names(folder: Path) -> Iterator[str]:
    """Return the files of the folder and of its subfolders, without hidden files."""
    for path in (*folder.glob("*"), *folder.glob("*/*")):
        name = path.relative_to(folder)
        if any(part.startswith(".") for part in name.parts):
            continue
        if path.is_symlink():
            raise ModelFolderError(f"{name.as_posix()} is a symbolic link", "Copy its target instead, as cp -rL does.")
        if path.is_file():
            yield name.as_posix()
