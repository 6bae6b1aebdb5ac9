"""What `easel models pull` wrote: a marker in each of its folders, by which `remove` keeps files of the user's own."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from easel.console.errors import ENVIRONMENT, CommandError
from easel.laptop.catalogue import Entry
from stacks.config.catalogue import FolderSource

if TYPE_CHECKING:
    from model_importer.files import File

MARKER = ".easel-pulled"
"""JSON: `plan`, the digest of what is being pulled, and in a complete folder `files`, the paths that `pull` wrote."""


def plan_of(files: Iterable[File]) -> str:
    """Return a digest of the files to pull: their paths, sizes, hashes and origins."""
    return sha256(json.dumps([asdict(file) for file in files]).encode()).hexdigest()


def work_folder(target: Path) -> Path:
    """Return the hidden folder beside `target` in which `pull` works."""
    target = target.absolute()
    return target.with_name(f".{target.name}.pull")


@contextmanager
def lock_work(work: Path) -> Iterator[None]:
    """Keep other runs of `pull` out of the work folder. Raises CommandError if one is in it."""
    lock = -1
    try:
        work.mkdir(parents=True, exist_ok=True)
        lock = os.open(work, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        fix = "Wait until it has ended."
        why = "another easel models pull writes into it"
        raise CommandError(
            "This model is being pulled already", where=str(work), why=why, fix=fix, code=ENVIRONMENT
        ) from None
    except OSError:  # `open_work` says why, or this file system has no locks
        pass
    try:
        yield
    finally:
        with suppress(OSError):  # it has files, or is the model's folder now
            work.rmdir()
        if lock >= 0:
            os.close(lock)


def open_work(work: Path, plan: str) -> None:
    """Make the work folder, without what another plan left in it. Raises CommandError if `pull` did not make it."""
    marker = _read(work)
    if work.is_symlink() or (marker is None and work.exists() and not _is_empty(work)):
        raise CommandError(
            "The folder in which a download is written is in use",
            where=str(work),
            why="easel models pull did not make it",
            fix="Move it away, or delete it.",
            code=ENVIRONMENT,
        )
    try:
        if marker is not None and marker.get("plan") != plan:
            for path in work.iterdir():  # not the folder, which is locked
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        work.mkdir(parents=True, exist_ok=True)
        _write(work, {"plan": plan})
    except OSError as error:
        raise CommandError(
            "The model cannot be written",
            where=str(error.filename or work),
            why=error.strerror or type(error).__name__,
            fix="Correct the permissions, or free disk space.",
            code=ENVIRONMENT,
        ) from None


def close_work(work: Path) -> None:
    """Write the paths of all files of the complete work folder into its marker."""
    files = sorted(path.relative_to(work).as_posix() for path in work.rglob("*") if path.is_file())
    _write(work, {**(_read(work) or {}), "files": [path for path in files if path != MARKER]})


def add_files(folder: Path, paths: Iterable[str]) -> None:
    """Add files to the marker of a complete folder, of which `pull` may have made no other file."""
    _write(folder, {**(_read(folder) or {}), "files": sorted({*(_files(folder) or ()), *paths})})


def is_pulled(folder: Path, path: str) -> bool:
    """Return whether `pull` wrote the file `path` of a complete folder."""
    return path in (_files(folder) or ())


def pulled(entry: Entry) -> list[Path]:
    """Return the folders that `pull` wrote for an entry, or a link to one. A folder that holds the entry is none.

    Of a folder that is the entry's source only the extras are returned.
    """
    source, folder = entry.model.source, entry.path.absolute()
    if isinstance(source, FolderSource) and source.checkpoint is None:
        paths = [folder / path for path in entry.model.brought_extras if is_pulled(folder, path)]
        return [path for path in paths if path.is_file() and path.parent.resolve().is_relative_to(folder.resolve())]
    work = work_folder(folder) if folder.name else folder
    found = [path for path in (folder, work) if _read(path) is not None and not _holds(path, entry.file)]
    return [path for path in found if path == work or _files(path) is not None]


def delete(path: Path) -> None:
    """Delete a link, an extra, a work folder, or of a complete folder what `pull` wrote. Raises OSError."""
    if path.is_symlink():
        path.unlink()
        return
    if path.is_file():
        _delete_extra(path)
        return
    files = _files(path)
    if files is None:
        shutil.rmtree(path)
        return
    folders = {path}
    for name in files:
        file = path / name
        if file.is_file() and file.parent.resolve().is_relative_to(path.resolve()):
            file.unlink()
            folders |= {folder for folder in file.parents if folder.is_relative_to(path)}
    (path / MARKER).unlink()
    for folder in sorted(folders, key=lambda folder: len(folder.parts), reverse=True):
        if folder.is_dir() and not folder.is_symlink() and _is_empty(folder):
            folder.rmdir()


def _delete_extra(path: Path) -> None:
    """Delete one file that the marker of its model's folder lists, and the marker with the last of them."""
    folder = path.parents[1]
    path.unlink()
    if _is_empty(path.parent):
        path.parent.rmdir()
    if files := [name for name in _files(folder) or () if (folder / name) != path]:
        _write(folder, {**(_read(folder) or {}), "files": files})
    else:
        (folder / MARKER).unlink()


def _files(folder: Path) -> list[str] | None:
    files = (_read(folder) or {}).get("files")
    return [name for name in files if isinstance(name, str) and name] if isinstance(files, list) else None


def _read(folder: Path) -> dict[str, Any] | None:
    """Return the marker of a folder, or None."""
    try:
        value = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _write(folder: Path, marker: dict[str, Any]) -> None:
    new = folder / f"{MARKER}.new"
    new.write_text(json.dumps(marker), encoding="utf-8")
    new.replace(folder / MARKER)


def _holds(folder: Path, file: Path) -> bool:
    return file.resolve().is_relative_to(folder.resolve())


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())
