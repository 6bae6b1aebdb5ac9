"""API Gateway's REQUEST authorizer: who sends a request, and by which API key of the gateway it is counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

from api_keys.credentials import sent_key
from api_keys.keys import Key, Keys, parse_text
from api_keys.tokens import InvalidTokenError, is_token
from api_keys.users import Users

BASIC_PATHS = ("/sdapi/", "/hf/")
"""Paths whose clients are asked for a password, and get errors as one text, which is not what others read. Elsewhere a
browser would show its own window over the page."""


class UnauthorizedError(Exception):
    """Becomes the gateway's response UNAUTHORIZED, which asks for a password. API Gateway requires this text."""

    def __init__(self) -> None:
        super().__init__("Unauthorized")


class OperatorKey(Protocol):
    """The key that the stack itself creates in API Gateway."""

    @property
    def id(self) -> str: ...

    def value(self) -> str | None:
        """Return the key's text, or None if it is disabled."""


@dataclass(frozen=True)
class Caller:
    """A caller that the authorizer has identified. `usage_key`: value of the gateway's API key that counts it."""

    owner: str
    usage_key: str


class Authorizer:
    """Identifies callers. `usage_prefix`: start of the values of the gateway's API keys; the slot's number follows.

    `users`: None if nobody can sign in. `on_refused` is called with the reason, and the key's id where it is known.
    """

    def __init__(
        self,
        *,
        keys: Keys,
        operator: OperatorKey,
        usage_prefix: str,
        now: Callable[[], float],
        users: Users | None = None,
        on_refused: Callable[[str, str], None] = lambda reason, id: None,
    ) -> None:
        self._keys, self._operator, self._usage_prefix = keys, operator, usage_prefix
        self._now, self._users, self._on_refused = now, users, on_refused

    def __call__(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the authorizer's response to an event of API Gateway. Raises UnauthorizedError for `BASIC_PATHS`."""
        text = sent_key(_headers(event))
        caller = self.identify(text)
        if caller is None and str(event.get("path", "")).startswith(BASIC_PATHS):
            raise UnauthorizedError
        effect = "Allow" if caller else "Deny"
        statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": event["methodArn"]}
        response = {
            "principalId": caller.owner if caller else "nobody",
            "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        }
        if not caller:
            return response
        return {**response, "context": {"owner": caller.owner}, "usageIdentifierKey": caller.usage_key}

    def identify(self, text: str) -> Caller | None:
        """Return the caller that the key or access token `text` belongs to, or None."""
        if not text:
            self._on_refused("no key", "")
            return None
        if parsed := parse_text(text):
            return self._holder(*parsed)
        if self._users and is_token(text):
            return self._user(self._users, text)
        if _same(text, self._operator.value()):
            return Caller(owner_of_operator(self._operator.id), text)
        self._on_refused("unknown key", "")
        return None

    def _holder(self, id: str, secret: str) -> Caller | None:
        key = self._keys.find(id)
        if key and key.matches(secret, self._now()):
            return self._active(key)
        self._on_refused("unknown key", "")
        return None

    def _user(self, users: Users, token: str) -> Caller | None:
        try:
            return self._active(users.identify(token))
        except InvalidTokenError as error:
            self._on_refused(str(error), "")
            return None

    def _active(self, key: Key) -> Caller | None:
        """Return the caller with this key, unless it is revoked or expired."""
        if (state := key.state(self._now())) == "active":
            return Caller(key.id, f"{self._usage_prefix}{key.slot}")
        self._on_refused(state, key.id)
        return None


def owner_of_operator(id: str) -> str:
    """Return the owner of the jobs of the stack's key."""
    return sha256(id.encode()).hexdigest()[:16]


def _same(sent: str, expected: str | None) -> bool:
    """Compare hashes, so that the time tells nothing, and so that any character can be sent."""
    return expected is not None and _digest(sent) == _digest(expected)


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


def _headers(event: Mapping[str, Any]) -> dict[str, list[str]]:
    multiple, single = event.get("multiValueHeaders") or {}, event.get("headers") or {}
    values = {name: [value] for name, value in single.items()} | {name: list(found) for name, found in multiple.items()}
    headers: dict[str, list[str]] = {}
    for name, found in values.items():
        headers.setdefault(name.lower(), []).extend(item for item in found if isinstance(item, str))
    return headers
