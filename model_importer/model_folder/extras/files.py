"""The files of extras: where they are, how large they may be, and their digests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import ModelFolderError
from ..files import Files
from ..safetensors_header import Header, read_header

_PIECE = 2**20
_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Extra:
    """A kind of extras: its name, the size of its largest file, and what to do about a larger one."""

    name: str
    max_bytes: int
    smaller: str


EXTRAS: Mapping[str, Extra] = {
    "loras": Extra("LoRA", 2 * 2**30, "Use one of a smaller rank."),  # those of rank 128 for FLUX have 1.3 GB
    "controls": Extra("ControlNet", 10 * 2**30, "Use one in float16."),  # SD 3.5 in float32: 8.6 and 9.9 GB
    "embeddings": Extra("textual-inversion embedding", 4 * 2**20, "Use one of fewer vectors."),  # SDXL: at most 1.2 MB
}
"""Folder, which is also the key in a catalogue entry, to the kind of its files."""


def extra_path(folder: str, id: str) -> str:
    """Return the path of an extra in a model folder."""
    return f"{folder}/{id}{_SUFFIX}"


def extra_ids(paths: Iterable[str], folder: str) -> list[str]:
    """Return the ids of those extras that are in a folder."""
    names = [path.removeprefix(f"{folder}/") for path in paths if path.startswith(f"{folder}/")]
    return [name.removesuffix(_SUFFIX) for name in names]


def extra_paths(files: Files) -> list[str]:
    """Return the paths of all extras, sorted. Raises ModelFolderError: another file is in one of their folders."""
    paths = sorted(path for path in files.sizes if path.partition("/")[0] in EXTRAS)
    if others := [path for path in paths if not path.endswith(_SUFFIX)]:
        folder = others[0].partition("/")[0]
        message = f"{others[0]} is not a {EXTRAS[folder].name}"
        raise ModelFolderError(message, f"Keep only {_SUFFIX} files in {folder}/.")
    return paths


def read_extra(files: Files, path: str) -> Header:
    """Return the header of an extra. Raises ModelFolderError: it is missing, too large or damaged."""
    folder = path.partition("/")[0]
    kind = EXTRAS[folder]
    if path not in files.sizes:
        hint = f"Put it there (easel models pull does if its entry has a source), or remove it from `{folder}`."
        raise ModelFolderError(f"{path} is missing", f"{hint}")
    if files.sizes[path] > kind.max_bytes:
        message = f"{path} is too large: {files.sizes[path]} bytes"
        raise ModelFolderError(message, f"It may have {kind.max_bytes} bytes. {kind.smaller}")
    return read_header(files, path)


def check_digests(folder: Path, digests: Mapping[str, str]) -> None:
    """Compare the extras of a folder with their entries. `digests`: path to sha256. Raises ModelFolderError."""
    for path, expected in digests.items():
        digest = hashlib.sha256()
        try:
            with (folder / path).open("rb") as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
        except OSError as error:
            raise ModelFolderError(f"{path} cannot be read ({error.strerror})", "Check the file.") from None
        if digest.hexdigest() != expected:
            message = f"{path} has the sha256 {digest.hexdigest()}, but its entry has {expected}"
            raise ModelFolderError(message, "Get the file of the entry again, or correct `sha256`.")
