"""Checks of requests before the app: a service on loopback is protected against pages of other sites."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape
from urllib.parse import unquote_to_bytes, urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from contract import EaselError
from easel.console.hosts import LOOPBACK
from easel.laptop.gateway.problems import problem_response
from easel.laptop.public_url import PublicUrl

PUBLIC_FILES = "/assets/"
"""Scripts of the page. They are never refused by their Origin: without them the page cannot show what is wrong."""
_HOST = re.compile(r"(\[[\da-f:.]+\]|[^\s:@/\\?#\[\]]+)(:\d*)?", re.ASCII | re.IGNORECASE)
"""The form of the header Host: name or address, and port."""
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_REFUSED_PAGE = "<!doctype html>\n<html lang='en'><meta charset='utf-8'><title>Easel</title>\n<h1>{}</h1>\n<p>{}</p>\n"
_HOW = "Start it with --public-url {}/ (with the path of Easel, if there is one). See docs/how-to/reverse-proxy.md"


class Guard:
    """Refuses a foreign Host (DNS rebinding), a foreign Origin, and requests of other sites except navigation.

    `on_refused` is called with the reason and what to do.
    """

    def __init__(self, app: ASGIApp, public: PublicUrl | None, on_refused: Callable[[EaselError], None]) -> None:
        self._app, self._public, self._on_refused = app, public, on_refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        try:
            self._check_host(headers.get("host"), scope)
            self._check_site(headers, scope)
            self._check_origin(headers, scope)
        except EaselError as error:
            self._on_refused(error)
            await (_refusal(Request(scope), error))(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _check_host(self, host: str | None, scope: Scope) -> None:
        if host is None and scope["http_version"] == "1.0" and scope["method"] in ("GET", "HEAD"):
            return  # a load balancer's check: every browser sends Host
        name = _host(f"//{host}") if host and _HOST.fullmatch(host) else None
        name = name and name.removesuffix(".")
        if name in LOOPBACK or (self._public and name == self._public.host):
            return
        raise _forbidden(f"the request is for the host {_short(host)}", _HOW.format(f"https://{_short(host)}"))

    def _check_site(self, headers: Headers, scope: Scope) -> None:
        """Refuse requests of pages of other sites, by Sec-Fetch-Site. `none`: a person typed the address."""
        navigation = scope["method"] in ("GET", "HEAD") and headers.get("sec-fetch-mode") == "navigate"
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not navigation:
            hint = "Use Easel's own page, or call the API from the other page's server."
            raise _forbidden(f"a page of {_short(headers.get('origin', 'another site'))} sent the request", hint)

    def _check_origin(self, headers: Headers, scope: Scope) -> None:
        origin = headers.get("origin")
        if origin is None or (scope["method"] in ("GET", "HEAD") and scope["path"].startswith(PUBLIC_FILES)):
            return
        same = origin.partition("://")[2].lower() == headers.get("host", "").lower()
        # The development server of the page: its own page, its own port, forwarded to here.
        forwarded = headers.get("sec-fetch-site") == "same-origin" and _host(origin) in LOOPBACK
        if not (same or forwarded or (self._public and origin == self._public.origin)):
            raise _forbidden(f"a page of {_short(origin)} sent the request", _HOW.format(_short(origin)))


class PathOnly:
    """Splits targets such as `http://localhost/jobs`, which every server must take, into Host and path (RFC 9112)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if absolute := _ABSOLUTE.fullmatch(scope.get("raw_path") or b""):
            host, raw = absolute[1], absolute[2] or b"/"
            headers = [*(pair for pair in scope["headers"] if pair[0] != b"host"), (b"host", host)]
            path = unquote_to_bytes(raw).decode("utf-8", "replace")
            scope = {**scope, "path": path, "raw_path": raw, "headers": headers}
        await self._app(scope, receive, send)


class WithoutPrefix:
    """Removes the path of the public URL from requests, for proxies that keep it."""

    def __init__(self, app: ASGIApp, public: PublicUrl) -> None:
        self._app, self._public = app, public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        prefix = self._public.path
        if prefix and scope["path"] == prefix:
            await RedirectResponse(str(self._public))(scope, receive, send)
            return
        if prefix and scope["path"].startswith(f"{prefix}/"):
            raw = scope.get("raw_path") or scope["path"].encode()
            scope = {**scope, "path": scope["path"][len(prefix) :], "raw_path": raw[len(prefix) :]}
        await self._app(scope, receive, send)


def _forbidden(message: str, hint: str) -> EaselError:
    return EaselError("forbidden", f"{message}; Easel serves only this machine", hint=hint)


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _short(text: str | None) -> str:
    return (text or "").encode("latin-1", "replace").decode("ascii", "replace")[:100]


def _refusal(request: Request, error: EaselError) -> Response:
    """Return a page for a person who opened the address, a problem document for others."""
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        text = _REFUSED_PAGE.format(escape(error.message), escape(error.hint))
        return HTMLResponse(text, 403, {"content-security-policy": "default-src 'none'"})
    return problem_response(request, error)
