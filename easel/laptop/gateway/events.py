"""Convert HTTP requests to events of API Gateway (REST API, proxy integration), and a function's response to HTTP.

Format: docs.aws.amazon.com/apigateway, "Set up Lambda proxy integrations", input and output format.
"""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from easel.laptop.public_url import PublicUrl

Event = dict[str, Any]


def to_event(request: Request, body: bytes, owner: str, path: str = "", public: PublicUrl | None = None) -> Event:
    """Return the event of a request of `owner`, with `path` in place of its own if given.

    `public`: the URL that it came to, if it came through a reverse proxy."""
    headers, query = gather(request.headers.items()), gather(request.query_params.multi_items())
    headers["x-forwarded-proto"] = [public.origin.partition(":")[0] if public else request.url.scheme]
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
        "requestContext": _context(request, f"{public.path}{path}" if public else path, owner),
        "body": base64.b64encode(body).decode() if text is None else text or None,
        "isBase64Encoded": text is None,
    }


def _context(request: Request, path: str, owner: str) -> Event:
    now = time.time()
    return {
        "accountId": "000000000000",
        "apiId": "laptop",
        "authorizer": {"principalId": owner, "owner": owner},
        "httpMethod": request.method,
        "identity": {
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


def gather(items: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the values of each name."""
    values: dict[str, list[str]] = {}
    for name, value in items:
        values.setdefault(name, []).append(value)
    return values


def _last(values: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {name: repeated[-1] for name, repeated in values.items()}


def _text(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def to_response(output: Any) -> Response:
    """Return a function's output as HTTP. Raises ValueError if API Gateway would call it malformed (status 502)."""
    try:
        body = output.get("body") or ""
        content = base64.b64decode(body, validate=True) if output.get("isBase64Encoded") else body.encode()
        response = Response(content, status_code=int(output["statusCode"]))
        for name, value in _header_lines(output):
            response.headers.append(name, value)
    except (AttributeError, KeyError, TypeError, UnicodeError) as error:
        raise ValueError(f"malformed output of a function: {error!r}") from error
    return response


def _header_lines(output: Mapping[str, Any]) -> list[tuple[str, str]]:
    multiple = output.get("multiValueHeaders") or {}
    single = {name: value for name, value in (output.get("headers") or {}).items() if name not in multiple}
    lines = [(name, value) for name, values in multiple.items() for value in values] + list(single.items())
    return [(name, value) for name, value in lines if name.lower() != "content-length"]
