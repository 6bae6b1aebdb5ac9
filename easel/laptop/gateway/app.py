"""The HTTP server's app: the API by the handlers of lambda/, job events, files, and the page."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from contract import BODY_BYTES, OUTPUT_FORMATS, EaselError
from easel.laptop.gateway.events import Event, to_event, to_response
from easel.laptop.gateway.signed_links import Signer
from easel.laptop.handler_pool import BusyError, HandlerPool
from easel.laptop.settings import LOOPBACK
from gateway.problem_details import MEDIA_TYPE, problem, problem_headers

MAX_BODY_BYTES = 10 * 2**20
"""API Gateway's limit."""
BODY_SECONDS = 30.0
POLL_SECONDS = 0.25
HEARTBEAT_SECONDS = 10.0
ENDED = ("succeeded", "failed", "cancelled")
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
COMMON_HEADERS = {"access-control-allow-origin": "*", "x-content-type-options": "nosniff"}
"""As the API sends them. `*` is safe: `_LoopbackGuard` refuses pages of other sites, and no cookie is read."""
PAGE_HEADERS = {"referrer-policy": "no-referrer", "x-frame-options": "DENY"}
IMMUTABLE = "public, max-age=31536000, immutable"
"""Cache-Control of files whose names contain a hash of their content, as CloudFront sends it."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """Everything that the app serves.

    `files`: folder of signed links. `page`: folder of the built page. `policy`: the page's Content-Security-Policy.
    `welcome`: HTML of `/` until the page is built. `key`: value that every request must send as x-api-key, or None.
    `loopback`: serve only requests to names of this machine, so that pages of other sites cannot reach the API.
    """

    handlers: HandlerPool
    signer: Signer
    files: Path
    page: Path
    policy: str
    welcome: str
    key: str | None = None
    loopback: bool = True

    def app(self) -> ASGIApp:
        routes = [
            Route("/files/{key:path}", self._file, methods=["GET"]),
            Route("/jobs/{id}/events", self._events, methods=["GET"]),
            Route("/{path:path}", self._page_or_api, methods=METHODS),
        ]
        errors: dict[Any, Any] = {
            EaselError: _problem_response,
            HTTPException: _status_response,
            ClientDisconnect: _disconnect_response,
        }
        app = Starlette(routes=routes, exception_handlers=errors)
        return _LoopbackGuard(app) if self.loopback else app

    async def _page_or_api(self, request: Request) -> Response:
        if request.method in ("GET", "HEAD") and (found := self._page_file(request.path_params["path"])):
            return found
        self._check_key(request)
        body = await _read(request)
        try:
            return to_response(await self._call(to_event(request, body)))
        except ValueError as error:
            _log.error("%s %s: %s", request.method, request.url.path, error)
            raise EaselError("internal", "the API's response cannot be read") from error

    def _page_file(self, path: str) -> Response | None:
        if file := _inside(self.page, path or "index.html"):
            cache = IMMUTABLE if path.startswith("assets/") else "no-cache"
            headers = {"content-security-policy": self.policy, "cache-control": cache}
            return FileResponse(file, headers={**COMMON_HEADERS, **PAGE_HEADERS, **headers})
        return None if path else HTMLResponse(self.welcome, headers=COMMON_HEADERS)

    async def _file(self, request: Request) -> Response:
        key, query = request.path_params["key"], request.query_params
        if not self.signer.allows(key, query.get("expires", ""), query.get("signature", ""), time.time()):
            hint = "Get a new link from GET /jobs/{id}."
            raise EaselError("forbidden", "the link has expired or was changed", hint=hint)
        if file := _inside(self.files, key):
            return FileResponse(file, media_type=OUTPUT_FORMATS.get(file.suffix[1:]), headers=COMMON_HEADERS)
        raise EaselError("not_found", "the file no longer exists")

    async def _events(self, request: Request) -> Response:
        self._check_key(request)
        event = to_event(request, b"", path=f"/jobs/{request.path_params['id']}")
        first = await self._call(event)
        if first["statusCode"] != 200:
            return to_response(first)
        headers = {**COMMON_HEADERS, "cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(self._changes(event, first), media_type="text/event-stream", headers=headers)

    async def _changes(self, event: Event, output: Any) -> AsyncIterator[str]:
        """Yield the job as a server-sent event after each change, until it has ended."""
        sent, sent_at = None, 0.0
        while output["statusCode"] == 200:
            job = json.loads(output["body"])
            state = (job["status"], job.get("progress"))
            if state != sent:
                sent, sent_at = state, time.monotonic()
                yield f"data: {json.dumps(job, ensure_ascii=False)}\n\n"
            elif time.monotonic() - sent_at > HEARTBEAT_SECONDS:
                sent_at = time.monotonic()
                yield ": heartbeat\n\n"
            if job["status"] in ENDED:
                return
            await asyncio.sleep(POLL_SECONDS)
            with suppress(BusyError):
                output = await self.handlers.call(event)

    async def _call(self, event: Event) -> Any:
        waits = event["httpMethod"] == "POST" and event["path"] == "/generate"
        try:
            return await (self.handlers.call_and_wait(event) if waits else self.handlers.call(event))
        except BusyError:
            hint = "Send the request again in a moment."
            raise EaselError("too_busy", "too many requests are running", hint=hint) from None

    def _check_key(self, request: Request) -> None:
        sent = request.headers.get("x-api-key", "")
        if self.key is not None and not hmac.compare_digest(sent.encode(), self.key.encode()):
            raise EaselError("unauthorized", "the API key is missing or wrong", hint="Send it as x-api-key.")


class _LoopbackGuard:
    """Refuses requests that a browser sends for another site: a foreign Host (DNS rebinding) or a foreign Origin."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if _is_loopback(f"//{headers.get('host', '')}") and _is_loopback(headers.get("origin", "//localhost")):
            await self._app(scope, receive, send)
        else:
            error = EaselError("forbidden", "only pages of this machine may call the API", hint="Use 127.0.0.1.")
            await (await _problem_response(Request(scope), error))(scope, receive, send)


def _is_loopback(url: str) -> bool:
    try:
        return urlsplit(url).hostname in LOOPBACK
    except ValueError:
        return False


def _inside(folder: Path, path: str) -> Path | None:
    """Return the file at `path` in `folder`, or None if it does not exist, is outside, or has an impossible name."""
    try:
        file = (folder / path).resolve()
        return file if file.is_relative_to(folder.resolve()) and file.is_file() else None
    except (OSError, ValueError):
        return None


async def _read(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    hint = f"Send at most {BODY_BYTES.maximum} bytes."
                    raise EaselError("payload_too_large", "the body is too large", hint=hint)
    except TimeoutError:
        raise HTTPException(408) from None
    return bytes(body)


async def _problem_response(request: Request, error: EaselError) -> Response:
    body = problem(error, request.url.path, uuid.uuid4().hex)
    headers = {**problem_headers(error), "x-request-id": body.request_id, **COMMON_HEADERS}
    return Response(body.model_dump_json(), body.status, headers, MEDIA_TYPE)


async def _status_response(request: Request, error: HTTPException) -> Response:
    if error.status_code == 404:  # a line break in the path, which matches no route
        return await _problem_response(request, EaselError("not_found", "there is no such route"))
    if error.status_code == 405:
        message = f"{request.method} is not allowed on this path"
        return await _problem_response(request, EaselError("method_not_allowed", message))
    return Response(status_code=error.status_code, headers={"connection": "close"})


async def _disconnect_response(request: Request, error: ClientDisconnect) -> Response:
    """Return a response that nobody receives."""
    return Response(status_code=400)
