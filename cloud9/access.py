"""Who may use the app: the host names it responds to, the pages that may send its form, and the prefix of a proxy."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from werkzeug.datastructures import Headers

AWS_HOSTS = re.compile(
    r"[0-9a-f]{32}\.vfs\.cloud9\.[a-z0-9-]+\.amazonaws\.com"  # the preview of a Cloud9 environment
    r"|ec2-\d+-\d+-\d+-\d+\.([a-z0-9-]+\.compute|compute-1)\.amazonaws\.com(\.cn)?"
)
PREFIX = re.compile(r"(/[\w.~%-]+)*")

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


@dataclass(frozen=True)
class Access:
    """`public_url`: the app's address behind a proxy, empty without one. Raises ValueError if it is no HTTP URL."""

    public_url: str = ""

    def __post_init__(self) -> None:
        url = urlsplit(self.public_url)
        valid = url.scheme in ("http", "https") and url.hostname and PREFIX.fullmatch(url.path.rstrip("/"))
        if self.public_url and not valid:
            raise ValueError(f"EASEL_PUBLIC_URL is not an HTTP URL: {self.public_url!r}")

    def allows_host(self, host: str) -> bool:
        """Whether `host` is an address or a name that no other site can point to this machine."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        machine = socket.gethostname().lower()
        if name in ("localhost", machine, f"{machine}.local", urlsplit(self.public_url).hostname):
            return True
        return is_address(name) or AWS_HOSTS.fullmatch(name) is not None

    def allows_sender(self, headers: Headers, host: str) -> bool:
        """Whether the page that sent the form is the app's own.

        Browsers send Sec-Fetch-Site over HTTPS and to loopback only, and Origin elsewhere; programs send neither.
        """
        if site := headers.get("Sec-Fetch-Site"):
            return site in ("same-origin", "none")
        origin = headers.get("Origin") or headers.get("Referer")
        return origin is None or urlsplit(origin).netloc in (host, urlsplit(self.public_url).netloc or host)

    def keep_prefix(self, app: Wsgi) -> Wsgi:
        """Return `app` with the path of the public URL, or the proxy's X-Forwarded-Prefix, before its links."""

        def call(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            prefix = self._prefix(environ)
            path = environ.get("PATH_INFO", "")
            if path == prefix or path.startswith(f"{prefix}/"):
                environ["PATH_INFO"] = path.removeprefix(prefix) or "/"
            if prefix:
                environ["SCRIPT_NAME"] = prefix
            return app(environ, start_response)

        return call

    def _prefix(self, environ: Mapping[str, Any]) -> str:
        prefix = urlsplit(self.public_url).path or environ.get("HTTP_X_FORWARDED_PREFIX", "")
        prefix = prefix.rstrip("/")
        return prefix if PREFIX.fullmatch(prefix) else ""


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
