"""The API key in a request, in each form that clients send it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence


def sent_key(headers: Mapping[str, Sequence[str]]) -> str:
    """Return the key that a request carries; empty if it has none. Header names are in lower case.

    The header x-api-key comes first, then `Authorization: Bearer KEY`, then the password of `Authorization: Basic`,
    whose user name does not matter. Clients of AUTOMATIC1111 send an empty Basic beside another key.
    """
    keys = [*headers.get("x-api-key", ()), *map(_authorization_key, headers.get("authorization", ()))]
    return next((key.strip() for key in keys if key.strip()), "")


def _authorization_key(value: str) -> str:
    scheme, _, credentials = value.strip().partition(" ")
    match scheme.lower():
        case "bearer":
            return credentials
        case "basic":
            return _password(credentials.strip())
    return ""


def _password(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
