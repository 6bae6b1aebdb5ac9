"""Signed links to files, with an expiry: the laptop's form of presigned URLs."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path
from urllib.parse import quote, urlencode

from easel.laptop.storage.durable import sync_folder, write_file

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
    """Return the secret in `path`. The first call creates it. Raises OSError."""
    if not path.exists() or not path.stat().st_size:  # empty after a power cut
        draft = path.with_name(f"{path.name}.draft")
        draft.unlink(missing_ok=True)
        write_file(draft, secrets.token_bytes(SECRET_BYTES))
        draft.replace(path)
        sync_folder(path.parent)
    return path.read_bytes()
