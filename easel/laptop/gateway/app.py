"""The HTTP server's app: the API by the handlers of lambda/, job events, files, and the page."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import ASGIApp

from contract import BODY_BYTES, OUTPUT_FORMATS, EaselError
from easel.laptop.clock import now
from easel.laptop.gateway.access import Access
from easel.laptop.gateway.events import Event, gather, to_event, to_response
from easel.laptop.gateway.guard import Guard, PathOnly, WithoutPrefix
from easel.laptop.gateway.image_stream import ImageStream, may_stream
from easel.laptop.gateway.problems import (
    COMMON_HEADERS,
    RangeNotSatisfiableError,
    on_disconnect,
    on_easel_error,
    on_http_error,
)
from easel.laptop.gateway.signed_links import Signer
from easel.laptop.handler_pool import BusyError, HandlerPool
from easel.laptop.public_url import PublicUrl
from gateway.problem_details import MethodNotAllowedError, RetryLaterError

BODY_SECONDS = 30.0
POLL_SECONDS = 0.25
HEARTBEAT_SECONDS = 10.0
ENDED = ("succeeded", "failed", "cancelled")
READING, WRITING = ["GET", "HEAD"], ["POST", "PUT", "PATCH", "DELETE"]
"""Methods. OPTIONS is the API's at every path."""
PAGE_HEADERS = {"referrer-policy": "no-referrer", "x-frame-options": "DENY"}
IMMUTABLE = "public, max-age=31536000, immutable"
"""Cache-Control of files whose names contain a hash of their content, as CloudFront sends it."""
IMAGE_CACHE = "private, max-age=31536000, immutable"
"""Cache-Control of images. `private`: a link is for whoever has it."""

STREAM_HEADERS = {**COMMON_HEADERS, "cache-control": "no-store", "x-accel-buffering": "no"}
"""Headers of server-sent events: no proxy keeps them back."""

_RANGE = re.compile(r"bytes=(?:(\d{1,15})-(\d{0,15})|-(\d{1,15}))", re.ASCII | re.IGNORECASE)
_CONDITIONS = StaticFiles()
"""Only compares conditional headers."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """Everything that the app serves.

    `files`: folder of signed links. `page`: folder of the built page. `policy`: the page's Content-Security-Policy.
    `welcome`: HTML of `/` until the page is built. `access` checks the API keys.
    `loopback`: serve only requests to names of this machine and to `public`, so that pages of other sites cannot reach
    the API. `on_refused` is called with the error of a request that is refused for that.
    """

    handlers: HandlerPool
    signer: Signer
    files: Path
    page: Path
    policy: str
    welcome: str
    access: Access
    loopback: bool = True
    public: PublicUrl | None = None
    on_refused: Callable[[EaselError], None] = lambda error: None

    def app(self) -> ASGIApp:
        routes = [
            Route("/files/{key:path}", self._file, methods=READING),
            Route("/files/{key:path}", _refuse_writing, methods=WRITING),
            Route("/jobs/{id}/events", self._events, methods=READING),
            Route("/jobs/{id}/events", _refuse_writing, methods=WRITING),
            Route("/{path:path}", self._page_or_api, methods=[*READING, *WRITING, "OPTIONS"]),
        ]
        errors: dict[Any, Any] = {
            EaselError: on_easel_error,
            HTTPException: on_http_error,
            ClientDisconnect: on_disconnect,
        }
        app: ASGIApp = Starlette(routes=routes, exception_handlers=errors)
        if self.loopback:
            app = Guard(app, self.public, self.on_refused)
        return PathOnly(WithoutPrefix(app, self.public) if self.public else app)

    async def _page_or_api(self, request: Request) -> Response:
        if request.method != "OPTIONS" and (found := self._page_file(request)):
            return found if request.method in READING else await _refuse_writing(request)
        owner = self._owner(request)
        body = await _read(request)
        try:
            event = to_event(request, body, owner, public=self._public_url(request))
            if may_stream(event, body):
                return await self._images(request, event)
            return _without_length(request, to_response(await self._call(request, event)))
        except ValueError as error:
            _log.error("%s %s: %s", request.method, request.url.path, error)
            raise EaselError("internal", "the API's response cannot be read") from error

    async def _images(self, request: Request, event: Event) -> Response:
        """Stream the images of a request to OpenAI's API if it wants that."""
        stream = ImageStream(event, partial(self._call, request))
        if refused := await stream.start():
            return to_response(refused)
        if not stream.wanted:
            return to_response(await stream.response())
        return StreamingResponse(stream.events(), media_type="text/event-stream", headers=STREAM_HEADERS)

    def _page_file(self, request: Request) -> Response | None:
        path = request.path_params["path"]
        if file := _inside(self.page, path or "index.html"):
            cache = IMMUTABLE if path.startswith("assets/") else "no-cache"
            headers = {**PAGE_HEADERS, "content-security-policy": self.policy, "cache-control": cache}
            return _file_response(request, file, headers)
        return None if path else HTMLResponse(self.welcome, headers=COMMON_HEADERS)

    async def _file(self, request: Request) -> Response:
        key, query = request.path_params["key"], request.query_params
        if not self.signer.allows(key, query.get("expires", ""), query.get("signature", ""), now()):
            hint = "Get a new link from GET /jobs/{id}."
            raise EaselError("forbidden", "the link has expired or was changed", hint=hint)
        if file := _inside(self.files, key):
            return _file_response(request, file, {"cache-control": IMAGE_CACHE}, OUTPUT_FORMATS.get(file.suffix[1:]))
        raise EaselError("not_found", "the file no longer exists")

    async def _events(self, request: Request) -> Response:
        event = to_event(request, b"", self._owner(request), path=f"/jobs/{request.path_params['id']}")
        first = await self._call(request, event)
        if first["statusCode"] != 200:
            return to_response(first)
        if request.method == "HEAD":
            return _without_length(request, Response(media_type="text/event-stream", headers=STREAM_HEADERS))
        changes = self._changes(request, event, first)
        return StreamingResponse(changes, media_type="text/event-stream", headers=STREAM_HEADERS)

    async def _changes(self, request: Request, event: Event, output: Any) -> AsyncIterator[str]:
        """Yield the job as a server-sent event after each change, until it has ended."""
        sent, sent_at = None, 0.0
        while output["statusCode"] == 200:
            job = json.loads(output["body"])
            state = (job["status"], job.get("progress"), job.get("message"))
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
                output = self._with_links(request, await self.handlers.call(event))

    async def _call(self, request: Request, event: Event) -> Any:
        from routes.apis import waits  # with the API's modules, which `HandlerPool.start` imports

        call = self.handlers.call_and_wait if waits(event["httpMethod"], event["path"]) else self.handlers.call
        try:
            output = await call(event)
        except BusyError as error:
            raise RetryLaterError("too_busy", "too many requests are running", error.seconds) from None
        return self._with_links(request, output)

    def _with_links(self, request: Request, output: Any) -> Any:
        """Return a function's output with absolute links if the request came to the public URL."""
        public = self._public_url(request)
        if public and isinstance(output["body"], str):
            return {**output, "body": public.with_links(output["body"])}
        return output

    def _public_url(self, request: Request) -> PublicUrl | None:
        """Return the public URL if the request came to it."""
        return self.public if self.public and request.url.hostname == self.public.host else None

    def _owner(self, request: Request) -> str:
        return self.access.owner(gather(request.headers.items()))


async def _refuse_writing(_: Request) -> Response:
    raise MethodNotAllowedError(READING)


def _inside(folder: Path, path: str) -> Path | None:
    """Return the file at `path` in `folder`, or None if it does not exist, is outside, or has an impossible name."""
    try:
        file = (folder / path).resolve()
        return file if file.is_relative_to(folder.resolve()) and file.is_file() else None
    except (OSError, ValueError):
        return None


def _file_response(request: Request, file: Path, headers: dict[str, str], media_type: str | None = None) -> Response:
    """Return the file, or 304 if the client has it. Raises `not_found` if it was deleted meanwhile."""
    try:
        state = file.stat()
    except OSError:
        raise EaselError("not_found", "the file no longer exists") from None
    response = FileResponse(file, headers={**COMMON_HEADERS, **headers}, media_type=media_type, stat_result=state)
    if _CONDITIONS.is_not_modified(response.headers, request.headers):
        return NotModifiedResponse(response.headers)
    if "range" in request.headers:
        _check_range(request, response, state.st_size)
    return response


def _check_range(request: Request, response: Response, size: int) -> None:
    """Remove a Range that RFC 9110 lets a server ignore: malformed, or of several parts, or of an older file.

    Raises RangeNotSatisfiableError if the file has no byte of it.
    """
    headers = MutableHeaders(scope=request.scope)
    current = (None, response.headers["etag"], response.headers["last-modified"])
    match = _RANGE.fullmatch(", ".join(headers.getlist("range")).strip())
    first, last, suffix = match.groups() if match else ("", "", "")
    if (
        request.method != "GET"
        or headers.get("if-range") not in current
        or not match
        or (last and int(last) < int(first))
    ):
        del headers["range"]
    elif int(suffix) == 0 if suffix else int(first) >= size:
        raise RangeNotSatisfiableError(size)


def _without_length(request: Request, response: Response) -> Response:
    """Return the response. To HEAD, its length would have to be that of GET, which is not known."""
    if request.method == "HEAD":
        del response.headers["content-length"]
    return response


async def _read(request: Request) -> bytes:
    """Return the body. Raises `payload_too_large`."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_BYTES.maximum:
                    hint = f"Send at most {BODY_BYTES.maximum} bytes."
                    raise EaselError("payload_too_large", "the body is too large", hint=hint)
    except TimeoutError:
        raise HTTPException(408) from None
    return bytes(body)
