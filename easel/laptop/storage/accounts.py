"""Keys and accounts in a folder, one file an owner. `easel keys` changes them while the service runs."""

from __future__ import annotations

import fcntl
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from api_keys.keys import Key
from contract import EaselError, dumps
from easel.laptop.storage.durable import make_folder, read_file, store_errors, sync_folder, write_file
from jobs.accounts import Account, Amount, Limits, Month, Refusal


@dataclass(frozen=True, kw_only=True)
class _File:
    """The content of an owner's file."""

    key: Key | None = None
    months: Mapping[str, Month] = field(default_factory=dict)

    @property
    def account(self) -> Account:
        return Account(limits=self.key.limits if self.key else Limits(), months=self.months)

    def to_json(self) -> str:
        months = {name: asdict(month) for name, month in self.months.items()}
        return dumps({"key": asdict(self.key) if self.key else None, "months": months})


class AccountFolder:
    """Implements `access.keys.Keys` and `jobs.accounts.Ledger`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    # --- keys ------------------------------------------------------------------------------------

    def find(self, id: str) -> Key | None:
        return self._read(id).key

    def all(self) -> Sequence[Key]:
        return [key for owner in self._owners() if (key := self._read(owner).key)]

    def put(self, key: Key) -> None:
        with self._locked():
            self._write(key.id, replace(self._read(key.id), key=key))

    # --- accounts --------------------------------------------------------------------------------

    def read(self, owner: str, since: str) -> Account:
        account = self._read(owner).account
        return replace(account, months={name: month for name, month in account.months.items() if name >= since})

    def accounts(self) -> dict[str, Account]:
        """Return every account, by owner."""
        return {owner: self._read(owner).account for owner in self._owners()}

    def reserve(self, owner: str, month: str, day: int, job: str, amount: Amount, limits: Limits) -> bool | Refusal:
        with self._locked():
            file = self._read(owner)
            used = file.months.get(month, Month())
            if job in used.open:
                return False
            if refusal := used.refusal(day, amount, limits):
                return refusal
            self._write(owner, replace(file, months={**file.months, month: used.reserved(day, job, amount)}))
            return True

    def settle(self, owner: str, month: str, day: int, job: str, held: Amount, used: Amount, model: str) -> bool:
        with self._locked():
            file = self._read(owner)
            before = file.months.get(month, Month())
            if before.open.get(job) != held:
                return False
            self._write(owner, replace(file, months={**file.months, month: before.settled(day, job, used, model)}))
            return True

    # --- inside ----------------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the folder's lock, against other threads and processes."""
        with store_errors():
            make_folder(self._folder)
            lock = (self._folder / "lock").open("ab")
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _owners(self) -> list[str]:
        return sorted(file.stem for file in self._folder.glob("*.json"))

    def _read(self, owner: str) -> _File:
        """Return the content of a file; that of an owner without one is empty. Raises EaselError."""
        file = self._folder / f"{owner}.json"
        with store_errors():
            try:
                body = read_file(file)
            except FileNotFoundError:
                return _File()
        try:
            return _parse(json.loads(body))
        except (ValueError, TypeError, KeyError, AttributeError):
            hint = f"Restore it from a backup, or move {file} away; then the key in it is unknown."
            raise EaselError("record_damaged", "the file of a key cannot be read", hint=hint) from None

    def _write(self, owner: str, file: _File) -> None:
        draft = self._folder / f"{uuid.uuid4().hex}.draft"
        with store_errors():
            try:
                write_file(draft, file.to_json().encode())
                draft.replace(self._folder / f"{owner}.json")
                sync_folder(self._folder)
            finally:
                draft.unlink(missing_ok=True)


def _parse(value: dict[str, Any]) -> _File:
    key = None if value["key"] is None else Key.from_dict(value["key"])
    return _File(key=key, months={name: _month(month) for name, month in value["months"].items()})


def _month(value: dict[str, Any]) -> Month:
    return Month(
        days={int(day): int(images) for day, images in value["days"].items()},
        gpu_ms=int(value["gpu_ms"]),
        jobs=int(value["jobs"]),
        open={job: Amount(**amount) for job, amount in value["open"].items()},
        models={model: int(ms) for model, ms in value.get("models", {}).items()},
    )
