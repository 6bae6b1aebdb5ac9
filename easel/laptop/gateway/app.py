"""The front door: HTTP to the functions of lambda/ and back, progress as it happens, files, and the page."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator
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
from easel.laptop.settings import LOOPBACK
from easel.laptop.worker_pool import BusyError, Pool, WorkerDiedError
from gateway.problem_details import MEDIA_TYPE, problem, problem_headers

LARGEST_BODY = 10 * 2**20
"""Bytes that API Gateway takes."""
BODY_SECONDS = 30.0
LOOK_SECONDS = 0.25
HEARTBEAT_SECONDS = 10.0
ENDED = ("succeeded", "failed", "cancelled")
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
ALWAYS = {"access-control-allow-origin": "*", "x-content-type-options": "nosniff"}
"""What the API sends too. `*` gives nothing away: the guard refused foreign pages before, and no cookie is read."""

PAGE = {"referrer-policy": "no-referrer", "x-frame-options": "DENY"}
HASHED = "public, max-age=31536000, immutable"
"""For files that are named by their content: as CloudFront sends them, too."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """What stands behind the door."""

    pool: Pool
    signer: Signer
    files: Path
    page: Path
    policy: str
    """What the page may do: its Content-Security-Policy."""
    welcome: str
    """HTML for `/` while `page` is not built."""
    key: str | None = None
    """Every call must bring it as x-api-key; None: no key is asked for."""
    loopback: bool = True
    """True: answers to names of this machine only, so that no page of another site reaches in."""

    def app(self) -> ASGIApp:
        routes = [
            Route("/files/{key:path}", self._file, methods=["GET"]),
            Route("/jobs/{id}/events", self._events, methods=["GET"]),
            Route("/{path:path}", self._page_or_api, methods=METHODS),
        ]
        handlers: dict[Any, Any] = {EaselError: _tell, HTTPException: _tell_status, ClientDisconnect: _tell_nobody}
        app = Starlette(routes=routes, exception_handlers=handlers)
        return _Guard(app) if self.loopback else app

    async def _page_or_api(self, request: Request) -> Response:
        if request.method in ("GET", "HEAD") and (found := self._page_file(request.path_params["path"])):
            return found
        self._check_key(request)
        body = await _read(request)
        try:
            return to_response(await self._call(to_event(request, body)))
        except ValueError as error:
            _log.error("%s %s: %s", request.method, request.url.path, error)
            raise EaselError("internal", "the answer of the API cannot be read") from error

    def _page_file(self, path: str) -> Response | None:
        if file := _inside(self.page, path or "index.html"):
            kept = HASHED if path.startswith("assets/") else "no-cache"
            told = {"content-security-policy": self.policy, "cache-control": kept}
            return FileResponse(file, headers={**ALWAYS, **PAGE, **told})
        return None if path else HTMLResponse(self.welcome, headers=ALWAYS)

    async def _file(self, request: Request) -> Response:
        key, query = request.path_params["key"], request.query_params
        if not self.signer.allows(key, query.get("expires", ""), query.get("signature", ""), time.time()):
            raise EaselError("forbidden", "the link has expired or was changed", hint="GET /jobs/{id} gives a new one.")
        if file := _inside(self.files, key):
            return FileResponse(file, media_type=OUTPUT_FORMATS.get(file.suffix[1:]), headers=ALWAYS)
        raise EaselError("not_found", "the file is not there any more")

    async def _events(self, request: Request) -> Response:
        self._check_key(request)
        look = to_event(request, b"", path=f"/jobs/{request.path_params['id']}")
        first = await self._call(look)
        if first["statusCode"] != 200:
            return to_response(first)
        headers = {**ALWAYS, "cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(self._changes(look, first), media_type="text/event-stream", headers=headers)

    async def _changes(self, look: Event, answer: Any) -> AsyncIterator[str]:
        told, spoke = None, 0.0
        while answer["statusCode"] == 200:
            job = json.loads(answer["body"])
            state = (job["status"], job.get("progress"))
            if state != told:
                told, spoke = state, time.monotonic()
                yield f"data: {json.dumps(job, ensure_ascii=False)}\n\n"
            elif time.monotonic() - spoke > HEARTBEAT_SECONDS:
                spoke = time.monotonic()
                yield ": still here\n\n"
            if job["status"] in ENDED:
                return
            await asyncio.sleep(LOOK_SECONDS)
            answer = await self._look(look, answer)

    async def _look(self, look: Event, last: Any) -> Any:
        try:
            return await self.pool.call(look)
        except (BusyError, WorkerDiedError):
            return last

    async def _call(self, event: Event) -> Any:
        try:
            waits = event["httpMethod"] == "POST" and event["path"] == "/generate"
            return await (self.pool.call_and_wait(event) if waits else self.pool.call(event))
        except BusyError:
            raise EaselError("too_busy", "every worker has a request", hint="Ask again in a moment.") from None
        except WorkerDiedError:
            raise EaselError("internal", "the worker of this request died", hint="Ask again.") from None

    def _check_key(self, request: Request) -> None:
        sent = request.headers.get("x-api-key", "")
        if self.key is not None and not hmac.compare_digest(sent.encode(), self.key.encode()):
            raise EaselError("unauthorized", "the access key is missing or wrong", hint="Send it as x-api-key.")


class _Guard:
    """Refuses what a browser sends for another site: a foreign Host (DNS rebinding) or a foreign Origin."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if _is_ours(f"//{headers.get('host', '')}") and _is_ours(headers.get("origin", "//localhost")):
            await self._app(scope, receive, send)
        else:
            error = EaselError("forbidden", "only pages of this machine may call", hint="Use the address shown.")
            await (await _tell(Request(scope), error))(scope, receive, send)


def _is_ours(url: str) -> bool:
    try:
        return urlsplit(url).hostname in LOOPBACK
    except ValueError:
        return False


def _inside(folder: Path, path: str) -> Path | None:
    """The file, unless it is not there, elsewhere, or nothing that a file can be called."""
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
                if len(body) > LARGEST_BODY:
                    hint = f"Send at most {BODY_BYTES.maximum} bytes."
                    raise EaselError("payload_too_large", "the body is too large", hint=hint)
    except TimeoutError:
        raise HTTPException(408) from None
    return bytes(body)


async def _tell(request: Request, error: EaselError) -> Response:
    told = problem(error, request.url.path, uuid.uuid4().hex)
    headers = {**problem_headers(error), "x-request-id": told.request_id, **ALWAYS}
    return Response(told.model_dump_json(), told.status, headers, MEDIA_TYPE)


async def _tell_status(request: Request, error: HTTPException) -> Response:
    if error.status_code == 404:  # a line break in the path, which no route takes
        return await _tell(request, EaselError("not_found", "there is no such route"))
    if error.status_code == 405:
        return await _tell(request, EaselError("method_not_allowed", f"{request.method} is not for this path"))
    return Response(status_code=error.status_code, headers={"connection": "close"})


async def _tell_nobody(request: Request, error: ClientDisconnect) -> Response:
    return Response(status_code=400)
