"""The data folder: everything that outlives a run of `easel up`."""

from __future__ import annotations

import fcntl
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from easel.console.errors import ENVIRONMENT, CommandError
from easel.laptop.gateway.signed_links import Signer, load_secret
from easel.laptop.storage.queue import Queue
from easel.laptop.storage.store import FolderStore


@dataclass(frozen=True)
class DataFolder:
    """Paths below `root`, and the objects that use them."""

    root: Path

    @property
    def files(self) -> Path:
        return self.root / "store"

    @property
    def model_log(self) -> Path:
        return self.root / "model.log"

    @property
    def api_log(self) -> Path:
        return self.root / "api.log"

    def signer(self) -> Signer:
        return Signer(load_secret(self.root / "secret"))

    def store(self) -> FolderStore:
        return FolderStore(self.files, self.signer())

    def queue(self) -> Queue:
        return Queue(self.root / "queue")

    def clear_logs(self) -> None:
        """Empty the logs. They hold one run."""
        for log in (self.model_log, self.api_log):
            log.write_bytes(b"")

    def lock(self, url: str) -> IO[bytes]:
        """Create the folder and lock it for this process until the returned file is closed.

        `url` is where this process will listen; the error of a second process names it. Raises CommandError.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / "lock").open("ab", buffering=0)
            if not _locked(lock):
                lock.close()
                raise _in_use(self.root)
            lock.truncate(0)
            lock.write(url.encode())
        except OSError as error:
            why, fix = error.strerror or str(error), "Use another folder with --data."
            raise CommandError(
                "The data folder cannot be used", where=str(self.root), why=why, fix=fix, code=ENVIRONMENT
            ) from None
        return lock


def _locked(lock: IO[bytes]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _in_use(root: Path) -> CommandError:
    url = (root / "lock").read_text() or "an address that is not known yet"
    another = f"easel up --port {(urlsplit(url).port or 7860) + 1} --data {shlex.quote(f'{root}-2')}"
    return CommandError(
        f"Easel already runs at {url}",
        where=str(root),
        why="it uses this data folder",
        fix=f"Open it, or stop it (Ctrl-C in its terminal), or start a second service: {another}",
        code=ENVIRONMENT,
    )
