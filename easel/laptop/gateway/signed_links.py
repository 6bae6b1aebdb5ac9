"""Links to files that expire and cannot be forged: what presigned URLs are in the cloud."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path
from urllib.parse import quote, urlencode

SECRET_BYTES = 32


class Signer:
    """Signs a key and a moment with the secret of this installation."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def path(self, key: str, expires: float) -> str:
        """`/files/<key>?expires=<epoch seconds>&signature=<hex>`"""
        moment = str(int(expires))
        return f"/files/{quote(key)}?{urlencode({'expires': moment, 'signature': self._sign(key, moment)})}"

    def allows(self, key: str, expires: str, signature: str, now: float) -> bool:
        """True for what `path` gave out, until it expires."""
        genuine = hmac.compare_digest(self._sign(key, expires).encode(), signature.encode())
        return genuine and now < int(expires)

    def _sign(self, key: str, expires: str) -> str:
        return hmac.new(self._secret, f"GET\n{key}\n{expires}".encode(), hashlib.sha256).hexdigest()


def load_secret(path: Path) -> bytes:
    """The secret in `path`, made on first use and readable by this user alone."""
    if not path.exists() or path.stat().st_size != SECRET_BYTES:  # a power cut can leave an empty file
        draft = path.with_name(f"{path.name}.draft")
        draft.touch(mode=0o600)
        draft.write_bytes(secrets.token_bytes(SECRET_BYTES))
        draft.replace(path)
    return path.read_bytes()
