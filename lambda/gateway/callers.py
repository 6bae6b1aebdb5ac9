"""Identify the caller, who owns jobs, only from what the gateway verified.

| `auth` | the gateway checks | the owner is |
| --- | --- | --- |
| `key` | an API key, by `authorizer.py` | what the authorizer says: a key's id, or a hash of the stack's key |
| `iam` | the signature of the request | the user or role, without the name of its session |
| `none` | nothing | `SHARED_OWNER`, for all callers |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NoReturn

from contract import EaselError

AUTH = ("key", "iam", "none")
"""Values of the variable EASEL_AUTH."""
SHARED_OWNER = "anonymous"

_OWNER = re.compile(r"[0-9a-f]{16}", re.ASCII)
_IDENTITY = re.compile(r"arn:aws[a-z-]*:(iam|sts)::\d{12}:[!-~]+", re.ASCII)


def owner_of(context: Mapping[str, Any], auth: str) -> str:
    """Return 16 hex digits that identify the caller and expose neither key nor role.

    `context`: `requestContext` of the event. Raises `unauthorized` if it has no verified caller: the function was
    called without its gateway, or the gateway is not set up as `auth` says.
    """
    if auth == "key":
        return _authorized(_inner(context, "authorizer"))
    caller = SHARED_OWNER if auth == "none" else _signer(_inner(context, "identity"))
    return sha256(caller.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _inner(context: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = context.get(name)
    return value if isinstance(value, dict) else {}


def _authorized(authorizer: Mapping[str, Any]) -> str:
    owner = authorizer.get("owner")
    return owner if isinstance(owner, str) and _OWNER.fullmatch(owner) else _unknown("Send the API key.")


def _signer(identity: Mapping[str, Any]) -> str:
    arn = identity.get("userArn")
    if not isinstance(arn, str) or not _IDENTITY.fullmatch(arn):
        _unknown("Sign the request with the credentials of a user or role.")
    return arn.rpartition("/")[0] if ":assumed-role/" in arn else arn


def _unknown(hint: str) -> NoReturn:
    raise EaselError("unauthorized", "the gateway has not identified the caller", hint=hint)
