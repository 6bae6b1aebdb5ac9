"""The data folder: everything that outlives a run of `easel up`."""

from __future__ import annotations

import fcntl
import logging
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from contract import EaselError
from easel.console.errors import ENVIRONMENT, CommandError
from easel.laptop.clock import ARRIVALS
from easel.laptop.gateway.signed_links import Signer, load_secret
from easel.laptop.settings import Settings
from easel.laptop.storage.accounts import AccountFolder
from easel.laptop.storage.folder_check import MODEL_LOGS, check_kinds, check_writes, folder_error, keep_private
from easel.laptop.storage.queue import Queue
from easel.laptop.storage.store import FolderStore
from easel.laptop.storage.webhook_queue import FolderWebhookQueue
from jobs.announcer import Announcer
from jobs.ports import Ticket

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DataFolder:
    """Paths below `root`, and the objects that use them."""

    root: Path

    @property
    def files(self) -> Path:
        return self.root / "store"

    def model_log(self, model: str) -> Path:
        return self.root / f"model-{model}.log"

    @property
    def api_log(self) -> Path:
        return self.root / "api.log"

    @cached_property
    def queue(self) -> Queue:
        return Queue(self.root / "queue")

    @property
    def accounts(self) -> AccountFolder:
        return AccountFolder(self.root / "accounts")

    @cached_property
    def webhook_queue(self) -> FolderWebhookQueue:
        return FolderWebhookQueue(self.root / "webhooks")

    def announce(self, ticket: Ticket, event: str) -> None:
        """Queue an event of a job's webhook. Logs an error: the next GET of the job tries again."""
        Announcer(self.store(), self.webhook_queue, _log_unqueued).announce(ticket, event)

    def signer(self) -> Signer:
        return Signer(load_secret(self.root / "secret"))

    def store(self) -> FolderStore:
        return FolderStore(self.files, self.signer())

    def lock(self, settings: Settings) -> IO[bytes]:
        """Create the folder and lock it for this process until the returned file is closed.

        The lock file holds the address of this process, which a second process shows in its error. Raises CommandError.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            check_kinds(self.root)
            lock = (self.root / "lock").open("ab", buffering=0)
            if not _locked(lock):
                lock.close()
                raise _in_use(self.root, settings)
            lock.truncate(0)
            lock.write(settings.url.encode())
        except OSError as error:
            raise folder_error(self.root, error) from None
        return lock

    def prepare(self) -> list[str]:
        """Try all kinds of writes, and remove what an earlier run left. Return warnings. Raises CommandError."""
        try:
            warnings = keep_private(self.root)
            check_writes(self.store(), self.files)
            _ = self.queue
            self.store().delete_drafts()
            ARRIVALS.start_after(self.store().newest_job())
            for log in self.root.glob(MODEL_LOGS):  # each log is of one run
                log.unlink()
            self.api_log.write_bytes(b"")
        except OSError as error:
            raise folder_error(self.root, error) from None
        return warnings


def _log_unqueued(ticket: Ticket, error: EaselError) -> None:
    _log.error("a webhook of %s is not queued: %s", ticket.inference_id, error)


def _locked(lock: IO[bytes]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _in_use(root: Path, settings: Settings) -> CommandError:
    url = (root / "lock").read_text(errors="replace") or "an address that is not known yet"
    another = replace(settings, port=_port(url) or settings.port).command(root.with_name(f"{root.name}-2"))
    return CommandError(
        f"Easel already runs at {url}",
        where=str(root),
        why="it uses this data folder",
        fix=f"Open it, or stop it (Ctrl-C in its terminal), or start a second service: {another}",
        code=ENVIRONMENT,
    )


def _port(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:
        return None
