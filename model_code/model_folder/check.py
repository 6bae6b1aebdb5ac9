"""The check of a folder before anything in it is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from .errors import ModelFolderError
from .local_files import check_local_model, regular_or_folder
from .selection import CheckedModel
from .weights import PICKLE_SUFFIXES

CODE_FOLDER = "code"
"""The only subfolder of a release that may hold programs."""
UNSAFE_SUFFIXES = PICKLE_SUFFIXES | {".h5", ".msgpack", ".py", ".so"}


def check_folder(
    folder: Path,
    names: Iterable[str] | None = None,
    variant: str | None = None,
    pipeline: str | None = None,
    extras: Iterable[str] | None = (),
) -> CheckedModel:
    """Return the model in a folder that is safe to load.

    `names` are the files of a release; by default all files are checked but those of `code/`. `variant`,
    `pipeline` and `extras` are as in `check_local_model`. Raises ModelFolderError.
    """
    for file in _files(folder) if names is None else (folder / name for name in names):
        regular_or_folder(folder, file, links=True)
        if file.suffix.lower() in UNSAFE_SUFFIXES:
            name, hint = file.relative_to(folder).as_posix(), "Keep weights as .safetensors and no code beside them."
            raise ModelFolderError(f"{name} is not safe to read", hint)
    return check_local_model(folder, variant, pipeline, extras, links=True)


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.relative_to(folder).parts[0] != CODE_FOLDER)
