"""The keys with which an OIDC issuer signs tokens, as it publishes them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from http.client import HTTPException

from api_keys.rs256 import RsaKey, parse_jwk
from contract import EaselError

PATH = "/.well-known/jwks.json"
CACHE_SECONDS = 3600
"""Time after which keys are read again, so that a key that the issuer has withdrawn is refused."""
PAUSE_SECONDS = 30
"""Shortest time between two reads. Anybody can send tokens with ids of keys that do not exist."""
TIMEOUT_SECONDS = 3
MAX_BYTES = 65_536


class IssuerKeys:
    """Implements `api_keys.tokens.SigningKeys`. While the issuer cannot be reached, the keys of the last read count."""

    def __init__(
        self,
        issuer: str,
        now: Callable[[], float] = time.monotonic,
        read: Callable[[str], bytes] | None = None,
    ) -> None:
        self._url, self._now, self._read = issuer + PATH, now, read or _read
        self._keys: Mapping[str, RsaKey] = {}
        self._read_at = self._tried_at = -float("inf")

    def find(self, id: str) -> RsaKey | None:
        is_old = self._now() - self._read_at > CACHE_SECONDS
        if (is_old or id not in self._keys) and self._now() - self._tried_at > PAUSE_SECONDS:
            self._refresh()
        if not self._keys:
            raise EaselError("upstream_unavailable", "the keys of the sign-in cannot be read", hint="Try again.")
        return self._keys.get(id)

    def _refresh(self) -> None:
        self._tried_at = self._now()
        try:
            keys = _parse(self._read(self._url))
        except (OSError, ValueError, RecursionError, HTTPException) as error:
            print(json.dumps({"level": "ERROR", "message": "signing keys not read", "error": type(error).__name__}))
            return
        self._keys, self._read_at = keys, self._now()


def _parse(body: bytes) -> dict[str, RsaKey]:
    """Return the keys by id. Raises ValueError if there is none: then the response is another document."""
    document = json.loads(body)
    listed = document.get("keys") if isinstance(document, dict) else None
    items = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    keys = {str(item.get("kid")): key for item in items if (key := parse_jwk(item))}
    if not keys:
        raise ValueError("the document has no key for RS256")
    return keys


def _read(url: str) -> bytes:
    from urllib.request import urlopen  # here, since most functions never need it

    with urlopen(url, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310  # the URL is a variable of the deploy
        return bytes(response.read(MAX_BYTES))
