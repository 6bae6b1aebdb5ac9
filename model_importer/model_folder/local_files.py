"""A model folder on this machine."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from .errors import ModelFolderError
from .extras import check_digests, extra_paths
from .selection import CheckedModel, check_model
from .vocabulary import VOCABULARY_FILE, read_vocabulary


class LocalFiles:
    """The files of a folder and of its subfolders, but for hidden ones. Nothing is opened before its type is known.

    With `links`, symbolic links to files within the folder are followed. Raises ModelFolderError for other links,
    and for what is neither a file nor a folder.
    """

    def __init__(self, folder: Path, *, links: bool = False) -> None:
        self._folder, self._links = folder, links
        self.sizes = dict(self._list())

    def read(self, path: str, first: int, end: int) -> bytes:
        try:
            with (self._folder / path).open("rb") as file:
                file.seek(first)
                return file.read(end - first)
        except OSError as error:
            raise ModelFolderError(f"{path} cannot be read ({error.strerror})", "Check its permissions.") from None

    def _list(self) -> Iterator[tuple[str, int]]:
        for path in (*self._folder.glob("*"), *self._folder.glob("*/*")):
            name = path.relative_to(self._folder)
            if not any(part.startswith(".") for part in name.parts):
                status = regular_or_folder(self._folder, path, links=self._links)
                if stat.S_ISREG(status.st_mode):
                    yield name.as_posix(), status.st_size


def regular_or_folder(folder: Path, path: Path, *, links: bool) -> os.stat_result:
    """Return the status of a file or folder. Raises ModelFolderError: it is a link or something else."""
    name, status = path.relative_to(folder).as_posix(), path.lstat()
    if stat.S_ISLNK(status.st_mode):
        if not links:
            raise ModelFolderError(f"{name} is a symbolic link", "Copy its target instead, as cp -rL does.")
        try:
            target, status = path.resolve(strict=True), path.stat()
        except (OSError, RuntimeError):  # RuntimeError: a link to itself
            raise ModelFolderError(f"{name} is a link to nothing", "Remove it.") from None
        if not target.is_relative_to(folder.resolve()):
            raise ModelFolderError(f"{name} links to a file outside of the folder", "Copy that file into the folder.")
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise ModelFolderError(f"{name} is neither a file nor a folder", "Remove it from the model folder.")
    return status


def check_local_model(
    folder: Path,
    variant: str | None = None,
    pipeline: str | None = None,
    extras: Iterable[str] | None = (),
    *,
    links: bool = False,
) -> CheckedModel:
    """Return the model in a folder. `variant`, `pipeline` and `extras` are as in `check_model`; None: all it has.

    Raises ModelFolderError.
    """
    files = LocalFiles(folder, links=links)
    checked = check_model(files, {"": variant}, pipeline, extra_paths(files) if extras is None else extras)
    read_vocabulary(folder)
    return checked


def select_local_files(
    folder: Path, variant: str | None = None, pipeline: str | None = None, extras: Mapping[str, str] | None = None
) -> list[str]:
    """Return the paths to release, sorted: those of the model, its extras (path to sha256), and the vocabulary.

    Raises ModelFolderError.
    """
    files = check_local_model(folder, variant, pipeline, extras or {}).files
    check_digests(folder, extras or {})
    vocabulary = [VOCABULARY_FILE] if (folder / VOCABULARY_FILE).exists() else []
    return sorted([*files, *vocabulary])
