"""Signatures of webhooks, and the secrets that they are made with (Standard Webhooks 1.0, symmetric).

Each owner of jobs has a secret of their own. Source: github.com/standard-webhooks/standard-webhooks, spec.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from contract import EaselError, dumps
from jobs.ports import Store

SECRET_BYTES = 32
OVERLAP_SECONDS = 24 * 3600
"""Time after a rotation in which webhooks are also signed with the secret before."""
_PREFIX = "whsec_"
_Secret = Annotated[str, Field(pattern=r"^whsec_[A-Za-z0-9+/]{43}=$")]


@dataclass(frozen=True, kw_only=True)
class _Secrets:
    """The stored object: `webhooks/<owner>.json`."""

    key: _Secret = field(repr=False)
    previous: _Secret | None = field(default=None, repr=False)
    rotated_at: float = 0


_SECRETS = TypeAdapter(_Secrets)


class SigningSecrets:
    """The secrets of all owners."""

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        self._store, self._now = store, now

    def current(self, owner: str) -> str:
        """Return the owner's secret, `whsec_…`. The first call creates it."""
        return self._read(owner).key

    def rotate(self, owner: str) -> str:
        """Replace the owner's secret and return the new secret. The old is valid for `OVERLAP_SECONDS` more."""
        try:
            previous = self._read(owner).key
        except EaselError as error:
            if error.code != "record_damaged":
                raise
            previous = None
        rotated = _Secrets(key=_new_secret(), previous=previous, rotated_at=self._now())
        self._store.write(_key(owner), dumps(asdict(rotated)).encode())
        return rotated.key

    def headers(self, owner: str, message_id: str, body: bytes) -> dict[str, str]:
        """Return the headers of a webhook that is sent now. `message_id` contains no full stop."""
        found, now = self._read(owner), self._now()
        keys = [found.key, *([found.previous] if found.previous and now < found.rotated_at + OVERLAP_SECONDS else [])]
        timestamp = str(int(now))
        signed = b".".join((message_id.encode(), timestamp.encode(), body))
        return {
            "webhook-id": message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": " ".join(f"v1,{_sign(key, signed)}" for key in keys),
        }

    def _read(self, owner: str) -> _Secrets:
        body = self._store.read(_key(owner))
        if body is None:
            self._store.create(_key(owner), dumps(asdict(_Secrets(key=_new_secret()))).encode())
            body = self._store.read(_key(owner)) or b""
        try:
            return _SECRETS.validate_json(body)
        except ValidationError:
            hint = "Replace it: POST /webhooks/secret."
            raise EaselError("record_damaged", "the stored secret of webhooks is damaged", hint=hint) from None


def _key(owner: str) -> str:
    return f"webhooks/{owner}.json"


def _new_secret() -> str:
    return _PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def _sign(key: str, signed: bytes) -> str:
    digest = hmac.new(base64.b64decode(key.removeprefix(_PREFIX)), signed, hashlib.sha256).digest()
    return base64.b64encode(digest).decode()
