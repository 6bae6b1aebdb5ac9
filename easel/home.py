"""The data folder: everything that outlives a run."""

from __future__ import annotations

import fcntl
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from easel.command_error import ENVIRONMENT, CommandError
from easel.links import Signer, load_secret
from easel.queue import Queue
from easel.store import FolderStore


@dataclass(frozen=True)
class Home:
    """Paths below the data folder, and what is kept there."""

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
        """They tell of one run."""
        for log in (self.model_log, self.api_log):
            log.write_bytes(b"")

    def occupy(self) -> IO[bytes]:
        """Makes the folder; it is ours until the file returned is closed. Raises CommandError."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / "lock").open("ab")
        except OSError as error:
            raise _refused(self.root, error.strerror or str(error), "Give another folder with --data.") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise _refused(self.root, "another `easel up` uses it", "Stop the other, or give --data.") from None
        return lock


def _refused(root: Path, why: str, fix: str) -> CommandError:
    return CommandError("The data folder cannot be used", where=str(root), why=why, fix=fix, code=ENVIRONMENT)
