"""API keys that `easel keys` creates: their text, what is stored of them, and whether one is valid.

Only a hash of the secret is stored. It is SHA-256 without salt or stretching: nobody can try 160 random bits.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from typing import Any, Protocol

from jobs.accounts import Limits

NAME_FORM = r"[\w.@-]([\w .@-]{0,38}[\w.@-])?"

_TEXT = re.compile(r"easel_([0-9a-f]{16})_([0-9a-f]{40})", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key as it is stored. `id` also is the owner of the key's jobs. Times are seconds since 1970; None: no limit.

    `slot`: which API key of the gateway counts the requests. After a rotation the text with `old_hash` stays valid
    until `old_until`.
    """

    id: str
    name: str
    hash: str
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    images_a_day: int | None = None
    gpu_seconds_a_month: int | None = None
    slot: int = 0
    old_hash: str = ""
    old_until: float = 0

    def state(self, now: float) -> str:
        """Return `active`, `revoked` or `expired`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and now >= self.expires_at else "active"

    def matches(self, secret: str, now: float) -> bool:
        """Return whether the secret is this key's, whatever its state is."""
        sent = _hash(secret)
        return hmac.compare_digest(sent, self.hash) or (
            now < self.old_until and hmac.compare_digest(sent, self.old_hash)
        )

    @property
    def limits(self) -> Limits:
        return Limits(images_a_day=self.images_a_day, gpu_seconds_a_month=self.gpu_seconds_a_month)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Key:
        """Inverse of `asdict`. Fields that a newer version added are ignored."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: item for name, item in value.items() if name in known})


class Keys(Protocol):
    """Where keys are stored."""

    def find(self, id: str) -> Key | None:
        """Return the key, or None if there is none."""

    def all(self) -> Sequence[Key]:
        """Return every key, revoked ones too."""

    def put(self, key: Key) -> None:
        """Store a new key, or replace the key of its id."""


def new_key(name: str, now: float, slots: int, others: Sequence[Key]) -> tuple[str, Key]:
    """Return the text of a new key, which is shown once, and the key. Its slot has the fewest keys of all `slots`."""
    used = [key.slot for key in others if key.state(now) == "active"]
    slot = min(range(slots), key=used.count)
    id, secret = secrets.token_hex(8), secrets.token_hex(20)
    return _text(id, secret), Key(id=id, name=name, hash=_hash(secret), created_at=now, slot=slot)


def rotated(key: Key, now: float, grace_hours: float) -> tuple[str, Key]:
    """Return another text for the key, and the key with it."""
    secret = secrets.token_hex(20)
    old_until = now + 3600 * grace_hours if grace_hours else 0
    return _text(key.id, secret), replace(key, hash=_hash(secret), old_hash=key.hash, old_until=old_until)


def parse_text(text: str) -> tuple[str, str] | None:
    """Return id and secret of a key's text, or None for any other text."""
    match = _TEXT.fullmatch(text)
    return (match[1], match[2]) if match else None


def _text(id: str, secret: str) -> str:
    return f"easel_{id}_{secret}"


def _hash(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
