"""HTTP to the event that API Gateway hands to a function (REST API, proxy integration), and its answer back to HTTP.

Shape: docs.aws.amazon.com/apigateway, "Set up Lambda proxy integrations", input and output format.
"""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

CALLER = "laptop"
"""The API key id of everybody here, with or without --key: pictures stay theirs when a key is set later."""

Event = dict[str, Any]


def to_event(request: Request, body: bytes, path: str = "") -> Event:
    """One event, for another `path` where one is given. Repeated headers and parameters are in multi-value members."""
    headers, query = _gather(request.headers.items()), _gather(request.query_params.multi_items())
    path = path or _raw_path(request)
    text = _text(body)
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": request.method,
        "headers": _last(headers),
        "multiValueHeaders": headers,
        "queryStringParameters": _last(query) or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": {"proxy": path.lstrip("/")},
        "stageVariables": None,
        "requestContext": _context(request, path),
        "body": base64.b64encode(body).decode() if text is None else text or None,
        "isBase64Encoded": text is None,
    }


def _context(request: Request, path: str) -> Event:
    now = time.time()
    return {
        "accountId": "000000000000",
        "apiId": "laptop",
        "httpMethod": request.method,
        "identity": {
            "apiKey": request.headers.get("x-api-key"),
            "apiKeyId": CALLER,
            "sourceIp": request.client.host if request.client else "127.0.0.1",
            "userAgent": request.headers.get("user-agent"),
        },
        "path": path,
        "protocol": f"HTTP/{request.scope['http_version']}",
        "requestId": str(uuid.uuid4()),
        "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
        "requestTimeEpoch": int(now * 1000),
        "resourcePath": "/{proxy+}",
        "stage": "laptop",
    }


def _raw_path(request: Request) -> str:
    raw: bytes = request.scope.get("raw_path") or request.url.path.encode()
    return raw.decode("latin-1")


def _gather(items: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in items:
        found.setdefault(name, []).append(value)
    return found


def _last(values: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {name: several[-1] for name, several in values.items()}


def _text(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def to_response(answer: Any) -> Response:
    """The answer as HTTP. Raises ValueError where API Gateway says 502 "Malformed Lambda proxy response"."""
    try:
        body = answer.get("body") or ""
        content = base64.b64decode(body, validate=True) if answer.get("isBase64Encoded") else body.encode()
        response = Response(content, status_code=int(answer["statusCode"]))
        for name, value in _header_lines(answer):
            response.headers.append(name, value)
    except (AttributeError, KeyError, TypeError, UnicodeError) as error:
        raise ValueError(f"malformed answer of a function: {error!r}") from error
    return response


def _header_lines(answer: Mapping[str, Any]) -> list[tuple[str, str]]:
    several = answer.get("multiValueHeaders") or {}
    single = {name: value for name, value in (answer.get("headers") or {}).items() if name not in several}
    lines = [(name, value) for name, values in several.items() for value in values] + list(single.items())
    return [(name, value) for name, value in lines if name.lower() != "content-length"]
