"""Who sends a request to a laptop, by its API key: what API Gateway's authorizer does in the cloud."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from api_keys.authorizer import BASIC_PATHS, Authorizer, owner_of_operator
from api_keys.credentials import sent_key
from api_keys.keys import Keys, parse_text
from contract import EaselError
from easel.laptop.clock import now

CALLER = "laptop"
"""Id of the caller with --key, and of all callers without it: jobs stay visible when a key is set later."""


@dataclass(frozen=True)
class _UpKey:
    """Implements `access.authorizer.OperatorKey` by the option --key."""

    text: str | None
    id: str = CALLER

    def value(self) -> str | None:
        return self.text


class Access:
    """Checks the keys of requests: `key`, or one of `keys`. Without `key`, any other key works, too, and none."""

    def __init__(self, key: str | None, keys: Keys) -> None:
        self._operator, self._keys = _UpKey(key), keys
        self._authorizer = Authorizer(keys=keys, operator=self._operator, usage_prefix="", now=now)

    def owner(self, headers: Mapping[str, Sequence[str]]) -> str:
        """Return the owner of the caller's jobs. Raises `unauthorized`. Header names are in lower case."""
        text = sent_key(headers)
        if caller := self._authorizer.identify(text):
            return caller.owner
        if self._operator.text is None and not self._is_created(text):
            return owner_of_operator(CALLER)
        hint = "Send it as x-api-key, as `Authorization: Bearer`, or as the password of Basic."
        raise EaselError("unauthorized", "the API key is missing, wrong, expired or revoked", hint=hint)

    def _is_created(self, text: str) -> bool:
        """Return whether the text has the id of a key that exists: then it is wrong, expired or revoked."""
        parsed = parse_text(text)
        return parsed is not None and self._keys.find(parsed[0]) is not None


def challenge(path: str) -> str:
    """Return the header WWW-Authenticate of a 401, as the gateway in the cloud sends it."""
    return f'{"Basic" if path.startswith(BASIC_PATHS) else "Bearer"} realm="Easel"'
