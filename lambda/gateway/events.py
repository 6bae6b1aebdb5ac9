"""API Gateway's REST proxy format: parse events to requests, and render responses.

Any event is accepted; every rendered response is valid for API Gateway.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from contract import EaselError, refuse
from gateway.callers import owner_of

GATEWAY_TIMEOUT_S = 29.0
"""API Gateway's timeout without a raised quota."""
MAX_RESPONSE_BYTES = 6_291_456
"""Largest JSON that Lambda returns. For more the gateway sends a 502 of its own."""

_HOST = re.compile(r"(\[[\da-f:.]+\]|[\w.-]+)(:\d+)?", re.ASCII | re.IGNORECASE)
_REQUEST_ID = re.compile(r"[\w.:-]{1,80}", re.ASCII)

# Any origin is allowed: callers are identified by a header that scripts must set, and cookies are never read.
_COMMON_HEADERS = {
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "x-request-id, retry-after, x-should-retry, location, allow",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
}
PREFLIGHT = {
    "access-control-allow-methods": "GET, POST, DELETE, OPTIONS",
    "access-control-allow-headers": "content-type, idempotency-key, x-api-key, authorization, x-amz-date, "
    "x-amz-security-token, *",
    "access-control-max-age": "7200",
}
"""Headers of the response to a CORS preflight."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """An HTTP request. Header names are in lower case. `owner`: hash of the caller's identity.

    `received_at`: when the gateway received it, and `ends_at`: when Lambda ends the function; seconds on the steady
    clock. `base_url`: of the API, as the client reached the gateway, without closing slash; empty without Host.
    """

    method: str
    path: str
    base_url: str = ""
    headers: Mapping[str, tuple[str, ...]]
    query: Mapping[str, tuple[str, ...]]
    body: bytes
    owner: str
    received_at: float
    ends_at: float

    def header(self, name: str) -> str | None:
        """Return the value of a header that may occur once. Raises `bad_header` if its values differ."""
        values = set(self.headers.get(name, ()))
        if len(values) > 1:
            refuse("bad_header", name, f"the header {name} has different values", "Send it once.")
        return values.pop() if values else None


@dataclass(frozen=True)
class Response:
    """An HTTP response. API Gateway gets a body of bytes as base64, and sends the bytes."""

    status: int
    body: str | bytes
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


def without_surrogates(text: str) -> str:
    """Replace unpaired surrogates, which JSON can contain and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()


def read_request(event: Any, auth: str, received_at: float, ends_at: float) -> Request:
    """Parse an event; `auth` is that of `gateway.callers`. A preflight has no owner.

    Raises EaselError: `unauthorized`, and for anything but a REST proxy event (warm-ups, SNS, HTTP API events).
    """
    if not isinstance(event, dict) or not all(type(event.get(name)) is str for name in ("httpMethod", "path")):
        hint = "Call the API over HTTP."
        raise EaselError("expected_object", "the event is not an API Gateway REST proxy event", hint=hint)
    sent, method = _multi(event, "multiValueHeaders", "headers"), event["httpMethod"].upper()
    headers = {name.lower(): values for name, values in sent.items()}
    return Request(
        method=method,
        path=without_surrogates(event["path"]),
        base_url=_base_url(event, headers),
        headers=headers,
        query=_multi(event, "multiValueQueryStringParameters", "queryStringParameters"),
        body=_body(event),
        owner="" if method == "OPTIONS" else owner_of(_inner(event, "requestContext"), auth),
        received_at=received_at,
        ends_at=ends_at,
    )


def read_path(event: Any) -> str:
    """Return the path of an event that may be no request, at most 200 characters; empty if it has none."""
    path = event.get("path") if isinstance(event, dict) else None
    return without_surrogates(path)[:200] if isinstance(path, str) else ""


def read_age(event: Any, now: float) -> float:
    """Return the seconds since the gateway received the request: the function's cold start. `now`: of the wall clock.

    0 if the event has no time, or one at which the gateway no longer waits, such as that of a replayed event.
    """
    received_ms = _inner(event, "requestContext").get("requestTimeEpoch")
    age = now - received_ms / 1000 if type(received_ms) is int else 0.0
    return age if 0 < age < GATEWAY_TIMEOUT_S else 0.0


def read_remaining(context: Any) -> float:
    """Return the seconds until Lambda ends the function, from Lambda's context; infinite without one."""
    remaining_ms = getattr(context, "get_remaining_time_in_millis", None)
    return float(remaining_ms()) / 1000 if remaining_ms else math.inf


def read_request_id(event: Any, context: Any) -> str:
    """Return the gateway's request id, so that both logs agree. Fall back to Lambda's, then to a random id."""
    gateway_id = _inner(event, "requestContext").get("requestId")
    for candidate in (gateway_id, getattr(context, "aws_request_id", None)):
        if isinstance(candidate, str) and _REQUEST_ID.fullmatch(candidate):
            return candidate
    return uuid4().hex


def render(response: Response, request_id: str) -> dict[str, Any]:
    """Return the response in the REST proxy format."""
    headers = {**_COMMON_HEADERS, "content-type": response.media_type, "x-request-id": request_id, **response.headers}
    binary = isinstance(response.body, bytes)
    body = response.body
    body = base64.b64encode(body).decode() if isinstance(body, bytes) else without_surrogates(body)
    return {"statusCode": response.status, "headers": headers, "body": body, "isBase64Encoded": binary}


def encoded_size(rendered: Mapping[str, Any]) -> int:
    """Return the largest size in bytes of a rendered response: some Lambda runtimes escape non-ASCII characters."""
    return len(json.dumps(rendered))


def _inner(value: Any, *names: str) -> dict[str, Any]:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _base_url(event: dict[str, Any], headers: Mapping[str, tuple[str, ...]]) -> str:
    """Return the URL of the path `/`. The path in the context begins with the stage, or with a domain's base path."""
    host, scheme = headers.get("host", ("",))[-1], headers.get("x-forwarded-proto", ("https",))[-1]
    full, path = _inner(event, "requestContext").get("path"), event["path"]
    prefix = full.removesuffix(path) if isinstance(full, str) and path != "/" else ""
    return f"{scheme}://{host}{prefix}" if _HOST.fullmatch(host) and scheme in ("http", "https") else ""


def _multi(event: dict[str, Any], multiple: str, single: str) -> dict[str, tuple[str, ...]]:
    """Return the values of `multiple`, or of `single` where that is missing (load balancers)."""
    found: dict[str, tuple[str, ...]] = {
        name: (value,) for name, value in _inner(event, single).items() if type(value) is str
    }
    for name, values in _inner(event, multiple).items():
        if type(values) is list and all(type(value) is str for value in values):
            found[name] = tuple(values)
    return found


def _body(event: dict[str, Any]) -> bytes:
    body = event.get("body")
    if body is None:
        return b""
    if type(body) is not str:
        refuse("invalid_json", None, "the body of the event is not a string")
    if event.get("isBase64Encoded") is not True:
        return body.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        refuse("invalid_json", None, "the body of the event is not base64")
