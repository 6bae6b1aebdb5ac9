"""Access tokens of people who sign in: JSON Web Tokens that an OIDC issuer signs with RS256."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NoReturn, Protocol

from api_keys.rs256 import RsaKey, decode

MAX_CHARACTERS = 8192
"""Longest token that is read. API Gateway allows 10,240 bytes for all headers."""
CLOCK_SECONDS = 60
"""How far the issuer's clock may be ahead. A token is never accepted after its end."""


class InvalidTokenError(Exception):
    """A token that identifies nobody. The message is the reason, without any part of the token."""


class SigningKeys(Protocol):
    """The keys that an issuer publishes."""

    def find(self, id: str) -> RsaKey | None:
        """Return the key with this `kid`, or None. Raises EaselError if the issuer cannot be reached."""


@dataclass(frozen=True)
class User:
    """A person who has signed in. `owner`: 16 hex digits, of the jobs. `name`: what the issuer calls them."""

    owner: str
    name: str


def is_token(text: str) -> bool:
    """Return whether a text has the form of a token. No API key has it."""
    return text.startswith("eyJ") and text.count(".") == 2


class Tokens:
    """Verifies tokens of `issuer` that were granted `scope`.

    `scope` says that a token is for Easel: only clients that an operator has given it get such tokens. Cognito's access
    tokens have no audience, and the id of the page's client is not known before the page's address is.
    """

    def __init__(self, *, issuer: str, scope: str, keys: SigningKeys) -> None:
        self._issuer, self._scope, self._keys = issuer, scope, keys

    def verify(self, text: str, now: float) -> User:
        """Return the user. `now`: seconds since 1970. Raises InvalidTokenError, and the errors of `keys`."""
        signed, _, signature = text.rpartition(".")
        head, _, body = signed.partition(".")
        header, sent = _object(head), decode(signature)
        kid = header.get("kid")
        if len(text) > MAX_CHARACTERS or header.get("alg") != "RS256" or "crit" in header or not isinstance(kid, str):
            _refuse("not a token with RS256")
        key = self._keys.find(kid)
        if key is None:
            _refuse("token of an unknown key")
        if not sent or not key.verifies(signed.encode("utf-8", "surrogatepass"), sent):
            _refuse("wrong signature")
        return self._user(_object(body), now)

    def _user(self, claims: Mapping[str, Any], now: float) -> User:
        if claims.get("iss") != self._issuer:
            _refuse("token of another issuer")
        if claims.get("token_use") != "access":
            _refuse("not an access token")
        if self._scope not in str(claims.get("scope", "")).split(" "):
            _refuse("token of another client")
        if not now < _seconds(claims, "exp", -math.inf):
            _refuse("expired token")
        if max(_seconds(claims, name, now) for name in ("nbf", "iat")) > now + CLOCK_SECONDS:
            _refuse("token of the future")
        subject, name = claims.get("sub"), claims.get("username")
        if not isinstance(subject, str) or not isinstance(name, str) or not subject or not name:
            _refuse("token without a user")
        return User(owner_of_user(self._issuer, subject), name)


def owner_of_user(issuer: str, subject: str) -> str:
    """Return the owner of a user's jobs. `subject` stays the same when a user gets another name or address."""
    return sha256(f"{issuer} {subject}".encode()).hexdigest()[:16]


def _object(part: str) -> dict[str, Any]:
    """Return the JSON object of a token's part. Raises InvalidTokenError."""
    try:
        value = json.loads(decode(part) or b"")
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else _refuse("not a token")


def _seconds(claims: Mapping[str, Any], name: str, default: float) -> float:
    value = claims.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse("token with a wrong time")
    return value


def _refuse(reason: str) -> NoReturn:
    raise InvalidTokenError(reason)
