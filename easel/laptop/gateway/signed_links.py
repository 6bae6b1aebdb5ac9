"""Signed links to files, with an expiry: the laptop's form of presigned URLs."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path
from urllib.parse import quote, urlencode

SECRET_BYTES = 32


class Signer:
    """Signs a key and its expiry with the secret of this data folder."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def path(self, key: str, expires: float) -> str:
        """Return `/files/<key>?expires=<epoch seconds>&signature=<hex>`."""
        expiry = str(int(expires))
        return f"/files/{quote(key)}?{urlencode({'expires': expiry, 'signature': self._sign(key, expiry)})}"

    def allows(self, key: str, expires: str, signature: str, now: float) -> bool:
        """Return whether the parts are those of a link from `path` that has not expired."""
        genuine = hmac.compare_digest(self._sign(key, expires).encode(), signature.encode())
        return genuine and now < int(expires)

    def _sign(self, key: str, expires: str) -> str:
        return hmac.new(self._secret, f"GET\n{key}\n{expires}".encode(), hashlib.sha256).hexdigest()


def load_secret(path: Path) -> bytes:
    """Return the secret in `path`. The first call creates it, readable by this user only."""
    if not path.exists() or path.stat().st_size != SECRET_BYTES:  # a power cut can leave an empty file
        draft = path.with_name(f"{path.name}.draft")
        draft.touch(mode=0o600)
        draft.write_bytes(secrets.token_bytes(SECRET_BYTES))
        draft.replace(path)
    return path.read_bytes()
