"""API Gateway's REST proxy format: events in, answers out. Whatever comes in, what goes out is well-formed."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import uuid4

from contract import EaselError, refuse

ANSWER_BYTES = 6_291_456
"""What Lambda hands on, as JSON; more becomes a 502 that nobody wrote."""

_REQUEST_ID = re.compile(r"[\w.:-]{1,80}", re.ASCII)

# Any origin: callers identify themselves by a header that a page must be given by its user. No cookie is ever read, so
# an origin list would protect nothing.
_ALWAYS = {
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "x-request-id, retry-after, x-should-retry, location, allow",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
}
PREFLIGHT = {
    "access-control-allow-methods": "GET, POST, DELETE, OPTIONS",
    "access-control-allow-headers": "content-type, idempotency-key, x-api-key, authorization, x-amz-date, "
    "x-amz-security-token",
    "access-control-max-age": "7200",
}


@dataclass(frozen=True, kw_only=True)
class Call:
    """One HTTP request. Header names are in lower case; `began` is in seconds since 1970."""

    method: str
    path: str
    headers: Mapping[str, tuple[str, ...]]
    query: Mapping[str, tuple[str, ...]]
    body: bytes
    owner: str
    began: float

    def header(self, name: str) -> str | None:
        """The value of a header that may come once. Raises `bad_header` where values differ."""
        values = set(self.headers.get(name, ()))
        if len(values) > 1:
            refuse("bad_header", name, f"the header {name} came with different values", "Send it once.")
        return values.pop() if values else None


@dataclass(frozen=True)
class Answer:
    """One HTTP answer. `body` is text."""

    status: int
    body: str
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Route:
    """`path` as Powertools writes it: `/jobs/<id>`. `action` takes the call, and what the path names."""

    method: str
    path: str
    action: Callable[..., Answer]


def whole(text: str) -> str:
    """The text without halves of surrogate pairs, which JSON may hold and UTF-8 may not."""
    return text.encode("utf-8", "replace").decode()


def read_call(event: Any, began: float) -> Call:
    """Raises EaselError for whatever is no REST proxy event: warm-ups, SNS, the shapes of HTTP APIs."""
    if not isinstance(event, dict) or not all(type(event.get(name)) is str for name in ("httpMethod", "path")):
        hint = "Call the API by HTTP."
        raise EaselError("expected_object", "the event is no API Gateway REST proxy event", hint=hint)
    headers = _multi(event, "multiValueHeaders", "headers")
    return Call(
        method=event["httpMethod"].upper(),
        path=whole(event["path"]),
        headers={name.lower(): values for name, values in headers.items()},
        query=_multi(event, "multiValueQueryStringParameters", "queryStringParameters"),
        body=_body(event),
        owner=_owner(event),
        began=began,
    )


def read_request_id(event: Any, context: Any) -> str:
    """The gateway's id of the request, so that its log and ours agree."""
    asked = _inner(event, "requestContext").get("requestId")
    for candidate in (asked, getattr(context, "aws_request_id", None)):
        if isinstance(candidate, str) and _REQUEST_ID.fullmatch(candidate):
            return candidate
    return uuid4().hex


def render(answer: Answer, request_id: str) -> dict[str, Any]:
    headers = {**_ALWAYS, "content-type": answer.media_type, "x-request-id": request_id, **answer.headers}
    return {"statusCode": answer.status, "headers": headers, "body": answer.body, "isBase64Encoded": False}


def encoded_size(answer: Mapping[str, Any]) -> int:
    """Bytes of an answer on its way out of the function, at most: some runtimes escape what is not ASCII."""
    return len(json.dumps(answer))


def _inner(value: Any, *names: str) -> dict[str, Any]:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _multi(event: dict[str, Any], many: str, one: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {
        name: (value,) for name, value in _inner(event, one).items() if type(value) is str
    }
    for name, values in _inner(event, many).items():
        if type(values) is list and all(type(value) is str for value in values):
            found[name] = tuple(values)
    return found


def _body(event: dict[str, Any]) -> bytes:
    body = event.get("body")
    if body is None:
        return b""
    if type(body) is not str:
        refuse("invalid_json", None, "the event's body is no text")
    if event.get("isBase64Encoded") is not True:
        return body.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        refuse("invalid_json", None, "the event's body is not base64")


def _owner(event: dict[str, Any]) -> str:
    """16 hex digits: who calls, without telling the key. The gateway has checked who it is."""
    identity = _inner(event, "requestContext", "identity")
    named = (identity.get(name) for name in ("apiKeyId", "apiKey", "userArn"))
    caller = next((value for value in named if value and type(value) is str), "anonymous")
    if ":assumed-role/" in caller:
        caller = caller.rpartition("/")[0]  # what follows is the session, which changes by the hour
    return sha256(caller.encode("utf-8", "surrogatepass")).hexdigest()[:16]
