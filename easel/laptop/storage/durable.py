"""Files that survive a power cut: the content is on the disk before the file gets its name."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contract import EaselError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_TOO_MANY_FILES = {errno.EMFILE, errno.ENFILE}
_TEMPORARY = {errno.ESTALE, errno.EIO, errno.EAGAIN, errno.EINTR, errno.ETIMEDOUT, errno.ENOLCK}
_CANNOT_FLUSH = {errno.EINVAL, errno.ENOTSUP, errno.EBADF}
"""Errors of file systems that cannot flush a folder."""


def read_file(file: Path) -> bytes:
    """Return the content of a file, and nothing of a pipe or device. Raises OSError."""
    with os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK), "rb") as opened:  # a pipe would wait
        return opened.read() if stat.S_ISREG(os.fstat(opened.fileno()).st_mode) else b""


def write_file(file: Path, body: bytes) -> None:
    """Create `file` and flush it. Raises OSError, also if it exists."""
    with file.open("xb") as opened:
        opened.write(body)
        opened.flush()
        os.fsync(opened.fileno())


def sync_folder(folder: Path) -> None:
    """Flush the names in `folder`. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _CANNOT_FLUSH:
            raise
    finally:
        os.close(fd)


def make_folder(folder: Path) -> None:
    """Create `folder` and its parents, and flush their names. Raises OSError."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn errors of the file system into errors of the contract. Temporary errors are retryable."""
    try:
        yield
    except OSError as error:
        code, message, hint = _contract_error(error)
        raise EaselError(code, message, hint=hint) from error


def _contract_error(error: OSError) -> tuple[str, str, str]:
    """Return code, message and hint."""
    if error.errno in _FULL:
        return "disk_full", "the disk with the results is full", "Free some space, then send the request again."
    if error.errno in _TOO_MANY_FILES:
        return "too_busy", "too many files and connections are open", "Send the request again in a moment."
    message = f"the data folder cannot be used: {error.strerror}"
    if error.errno in _TEMPORARY:
        return "upstream_unavailable", message, "Send the request again in a moment."
    return "config_error", message, "Check the data folder."
