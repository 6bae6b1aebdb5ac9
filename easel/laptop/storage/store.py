"""The store of lambda/jobs/ports.py in a folder. A process that dies while it writes leaves no partial object."""

from __future__ import annotations

import errno
import heapq
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from contract import EaselError
from easel.laptop.gateway.signed_links import Signer

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class FolderStore:
    """Keys are paths below `root`. Each object is written to a draft file, then moved to its key in one step.

    Survives the death of any process at any moment; a power cut may lose the last second.
    """

    def __init__(self, root: Path, signer: Signer) -> None:
        self._root, self._signer = root, signer
        self._drafts = root.with_name(f"{root.name}.drafts")
        self._drafts.mkdir(parents=True, exist_ok=True)

    def read(self, key: str) -> bytes | None:
        try:
            return (self._root / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def create(self, key: str, body: bytes) -> bool:
        with self._draft(key, body) as draft:
            try:
                os.link(draft, self._root / key)
            except FileExistsError:
                return False
        return True

    def write(self, key: str, body: bytes, media_type: str = "application/json") -> None:
        """Write or replace the object. The key's suffix tells the media type, so that is not stored."""
        with self._draft(key, body) as draft:
            draft.replace(self._root / key)

    def delete(self, key: str) -> None:
        (self._root / key).unlink(missing_ok=True)

    def list(self, prefix: str, limit: int) -> Sequence[str]:
        try:
            with os.scandir(self._root / prefix) as entries:
                return heapq.nsmallest(limit, (entry.name for entry in entries))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def link(self, key: str, seconds: int) -> str:
        return self._signer.path(key, time.time() + seconds)

    def delete_drafts(self) -> None:
        """Delete drafts of processes that died. Call it only while no other process uses this folder."""
        for draft in self._drafts.glob("*"):
            draft.unlink()

    @contextmanager
    def _draft(self, key: str, body: bytes) -> Iterator[Path]:
        draft = self._drafts / uuid.uuid4().hex
        with store_errors(), _deleted_afterwards(draft):
            (self._root / key).parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(body)
            yield draft


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn errors of the file system into errors of the contract."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            message, hint = "the disk with the results is full", "Free some space, then send the request again."
            raise EaselError("disk_full", message, hint=hint) from error
        message = f"the results cannot be stored: {error.strerror}"
        raise EaselError("config_error", message, hint="Check the data folder.") from error


@contextmanager
def _deleted_afterwards(file: Path) -> Iterator[None]:
    try:
        yield
    finally:
        with suppress(OSError):
            file.unlink(missing_ok=True)
