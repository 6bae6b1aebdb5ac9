"""The store of lambda/jobs/ports.py in a folder. A process that dies while it writes leaves no partial object."""

from __future__ import annotations

import heapq
import os
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from easel.laptop.clock import now
from easel.laptop.gateway.signed_links import Signer
from easel.laptop.storage.durable import make_folder, read_file, store_errors, sync_folder, write_file
from jobs.ports import Ticket

_JOBS, _JOB_ID = re.compile(r"jobs/[0-9a-f]{16}/", re.ASCII), re.compile(r"[0-9a-f]{44}", re.ASCII)


class FolderStore:
    """Keys are paths below `root`. Each object is written to a draft file, then moved to its key in one step.

    An object whose write has returned survives the death of any process at any moment, and a power cut.
    """

    def __init__(self, root: Path, signer: Signer) -> None:
        self._root, self._signer = root, signer
        self._drafts = root.with_name(f"{root.name}.drafts")
        self._drafts.mkdir(parents=True, exist_ok=True)

    def read(self, key: str) -> bytes | None:
        """Return the object. What is no file, such as a folder or a pipe, is an empty object: none can be created."""
        path = self._root / key
        with store_errors():
            try:
                return read_file(path)
            except IsADirectoryError:
                return b""
            except (FileNotFoundError, NotADirectoryError):
                return b"" if path.is_symlink() else None

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
            self._set_aside_folder(self._root / key)
            draft.replace(self._root / key)

    def delete(self, key: str) -> None:
        with store_errors():
            self._set_aside_folder(self._root / key)
            (self._root / key).unlink(missing_ok=True)

    def list(self, prefix: str, limit: int) -> Sequence[str]:
        """Return the first names. Beside jobs, other names do not count: a file manager may have created them."""
        jobs = _JOBS.fullmatch(prefix)
        with store_errors():
            try:
                with os.scandir(self._root / prefix) as entries:
                    names = (entry.name for entry in entries if not jobs or _JOB_ID.fullmatch(entry.name))
                    return heapq.nsmallest(limit, names)
            except (FileNotFoundError, NotADirectoryError):
                return []

    def newest_job(self) -> float:
        """Return when the newest job was accepted, as its id says, or 0."""
        with store_errors():
            names = [folder.name for folder in self._root.glob("jobs/*/*") if _JOB_ID.fullmatch(folder.name)]
        return max((Ticket("", name).created_at for name in names), default=0.0)

    def link(self, key: str, seconds: int) -> str:
        return self._signer.path(key, now() + seconds)

    def delete_drafts(self) -> None:
        """Delete drafts of processes that died. Call it only while no other process uses this folder."""
        for draft in self._drafts.glob("*"):
            with suppress(OSError):
                draft.unlink()

    def _set_aside_folder(self, path: Path) -> None:
        """Move a folder in the place of an object to the drafts: otherwise its job could never end."""
        if path.is_dir() and not path.is_symlink():
            path.rename(self._drafts / uuid.uuid4().hex)

    @contextmanager
    def _draft(self, key: str, body: bytes) -> Iterator[Path]:
        draft, folder = self._drafts / uuid.uuid4().hex, (self._root / key).parent
        with store_errors(), _deleted_afterwards(draft):
            make_folder(folder)
            write_file(draft, body)
            yield draft
            sync_folder(folder)


@contextmanager
def _deleted_afterwards(file: Path) -> Iterator[None]:
    try:
        yield
    finally:
        with suppress(OSError):
            file.unlink(missing_ok=True)
