"""Identify the caller, who owns jobs, only from what the gateway verified.

| `auth` | the gateway checks | the owner is |
| --- | --- | --- |
| `key` | an API key | the key's id |
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

_IDENTITY = re.compile(r"arn:aws[a-z-]*:(iam|sts)::\d{12}:[!-~]+", re.ASCII)


def owner_of(identity: Mapping[str, Any], auth: str) -> str:
    """Return 16 hex digits that identify the caller and expose neither key nor role.

    `identity`: `requestContext.identity` of the event. Raises `unauthorized` if it has no verified caller: the function
    was called without its gateway, or the gateway is not set up as `auth` says.
    """
    caller = SHARED_OWNER if auth == "none" else _key(identity) if auth == "key" else _signer(identity)
    return sha256(caller.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _key(identity: Mapping[str, Any]) -> str:
    key_id = identity.get("apiKeyId")
    return key_id if isinstance(key_id, str) and key_id else _unknown("Send the API key in the header x-api-key.")


def _signer(identity: Mapping[str, Any]) -> str:
    arn = identity.get("userArn")
    if not isinstance(arn, str) or not _IDENTITY.fullmatch(arn):
        _unknown("Sign the request with the credentials of a user or role.")
    return arn.rpartition("/")[0] if ":assumed-role/" in arn else arn


def _unknown(hint: str) -> NoReturn:
    raise EaselError("unauthorized", "the gateway has not identified the caller", hint=hint)
