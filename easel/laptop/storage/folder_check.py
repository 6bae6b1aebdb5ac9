"""Checks of the data folder before the start. An unusable folder is an error that says what to do."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from contract import EaselError
from easel.console.errors import ENVIRONMENT, CommandError
from easel.laptop.gateway.signed_links import SECRET_BYTES
from easel.laptop.storage.durable import make_folder
from easel.laptop.storage.store import FolderStore

FOLDERS = ("store", "store.drafts", "queue", "accounts", "webhooks")
FILES = ("lock", "secret", "api.log")
MODEL_LOGS = "model-*.log"
TRIAL = ".trial"
"""Name of the object that is written and deleted at each start."""
_OTHER_FOLDER = "Use another folder: easel up --data …"
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS}
"""Errors of file systems without hard links, such as FAT and exFAT."""


def check_kinds(root: Path) -> None:
    """Check that `FOLDERS` are folders, `FILES` and logs are files, and `secret` has the right size.

    Raises CommandError.
    """
    for name in FOLDERS:
        if os.path.lexists(root / name) and not (root / name).is_dir():
            raise _error(root / name, "it is not a folder", f"Move it away. Or: {_OTHER_FOLDER}")
    for name in (*FILES, *(log.name for log in root.glob(MODEL_LOGS))):
        if os.path.lexists(root / name) and not (root / name).is_file():
            raise _error(root / name, "it is not a file", f"Move it away. Or: {_OTHER_FOLDER}")
    secret = root / "secret"
    if secret.exists() and secret.stat().st_size not in (0, SECRET_BYTES):
        raise _error(secret, "Easel did not write this file", f"Move it away. Or: {_OTHER_FOLDER}")


def check_writes(store: FolderStore, files: Path) -> None:
    """Write, replace and delete an object in each folder of the store. Raises CommandError and OSError."""
    for kind in ("jobs", "idempotency"):
        make_folder(files / kind)
        for folder in (files / kind, *filter(Path.is_dir, (files / kind).iterdir())):
            _try_writes(store, folder.relative_to(files) / TRIAL, folder)


def _try_writes(store: FolderStore, key: Path, folder: Path) -> None:
    try:
        store.delete(str(key))
        created = store.create(str(key), b"1")
        store.write(str(key), b"2")
        read = store.read(str(key))
        store.delete(str(key))
    except EaselError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        raise folder_error(folder, error.__cause__) from None
    if not created or read != b"2":
        raise _error(folder, "what was written cannot be read", _OTHER_FOLDER)


def keep_private(root: Path) -> list[str]:
    """Take the rights of other users from `root` and its parts. Return lines that say so, or that it failed.

    A folder with other files in it keeps its rights; only Easel's parts are closed.
    """
    parts = [part for name in (*FOLDERS, *FILES) if (part := root / name).exists()]
    own = (root / "store").is_dir() or all(part.name == "lock" for part in root.iterdir())
    lines: list[str] = []
    for path in [root, *parts] if own else parts:
        mode = stat.S_IMODE(path.stat().st_mode)
        try:
            if mode & 0o077:
                path.chmod(mode & 0o700)
                lines = lines or [f"Other users of this machine could read {root}. Now only you can."]
        except OSError as error:
            lines.append(f"Warning: other users of this machine can read {path} ({error.strerror}). {_OTHER_FOLDER}")
    return lines


def folder_error(folder: Path, error: OSError) -> CommandError:
    """Return the error of a folder that cannot be used, with what to do."""
    path = Path(os.fsdecode(error.filename)) if error.filename else folder
    why, fix = error.strerror or str(error), _OTHER_FOLDER
    if error.errno == errno.EXDEV:
        why, fix = "it is on another disk than store.drafts", "Put the whole data folder on one disk, and set --data."
    elif error.errno in _NO_LINKS and error.filename2:
        why, fix = "its file system has no hard links", "Use a folder on another disk (not FAT or exFAT), with --data."
    elif error.errno in (errno.EACCES, errno.EPERM):
        fix = f"Make it yours (ls -l shows the owner). Or: {_OTHER_FOLDER}"
    if error.filename2:
        path = folder
    return _error(path, why, fix)


def _error(path: Path, why: str, fix: str) -> CommandError:
    return CommandError("The data folder cannot be used", where=str(path), why=why, fix=fix, code=ENVIRONMENT)
