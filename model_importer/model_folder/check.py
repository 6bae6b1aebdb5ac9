"""The check of a folder before anything in it is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from .errors import ModelFolderError
from .index import INDEX_BYTES, INDEX_FILE, ModelIndex, parse_index
from .json_files import parse_settings
from .safetensors_header import is_complete
from .vocabulary import read_vocabulary
from .weights import PICKLE_SUFFIXES

CODE_FOLDER = "code"
"""The only subfolder of a release that may hold programs."""
UNSAFE_SUFFIXES = PICKLE_SUFFIXES | {".h5", ".msgpack", ".py", ".so"}
_WITH_AUTO_MAP = ("config.json", "tokenizer_config.json")


def check_folder(folder: Path, names: Iterable[str] | None = None) -> ModelIndex:
    """Return the index of a folder that is safe to load.

    `names` are the files of a release; by default all files are checked but those of `code/`. Raises ModelFolderError.
    """
    index = read_index(folder)
    for file in _files(folder) if names is None else (folder / name for name in names):
        _check_file(folder, file)
    read_vocabulary(folder)
    return index


def read_index(folder: Path) -> ModelIndex:
    """Return the checked `model_index.json`. Raises ModelFolderError."""
    try:
        with (folder / INDEX_FILE).open("rb") as file:
            content = file.read(INDEX_BYTES + 1)
    except OSError:
        hint = "Use a folder that diffusers saved (save_pretrained)."
        raise ModelFolderError(f"{INDEX_FILE} is missing", hint) from None
    return parse_index(content)


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.relative_to(folder).parts[0] != CODE_FOLDER)


def _check_file(folder: Path, file: Path) -> None:
    name = file.relative_to(folder).as_posix()
    if not file.resolve().is_relative_to(folder.resolve()):
        raise ModelFolderError(f"{name} links to a file outside of the folder", "Copy that file into the folder.")
    if file.suffix.lower() in UNSAFE_SUFFIXES:
        raise ModelFolderError(f"{name} is not safe to read", "Keep weights as .safetensors and no code beside them.")
    if file.name in _WITH_AUTO_MAP:
        parse_settings(name, _content(file))
    if file.suffix == ".safetensors" and not is_complete(file):
        raise ModelFolderError(f"{name} is damaged or truncated", "Download it again; a Git LFS pointer is not enough.")


def _content(file: Path) -> bytes:
    """Return the bytes of a file, or none if it cannot be read."""
    try:
        return file.read_bytes()
    except OSError:
        return b""
