"""The address under which a reverse proxy serves Easel."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from easel.console.errors import USAGE, CommandError

_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*/?", re.ASCII)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_ROOTED_LINK = re.compile(r'("(?:url|get|cancel)": ?")/(?!/)')
"""A path in a member of a JSON response. A string cannot contain it: its quotes are escaped."""


@dataclass(frozen=True)
class PublicUrl:
    """A URL. `origin` as browsers send it; `host` without port; `path` without closing slash, empty for the root."""

    origin: str
    host: str
    path: str

    @classmethod
    def parse(cls, text: str) -> PublicUrl:
        """Parse an http or https URL with a host and a plain path. Raises CommandError for anything else."""
        try:
            url = urlsplit(text)
            host, port = (url.hostname or "").encode("idna").decode(), url.port
        except ValueError:
            raise _invalid(text) from None
        extra = url.query or url.fragment or "@" in url.netloc or not _PATH.fullmatch(url.path)
        if url.scheme not in _DEFAULT_PORTS or not host or extra or {".", ".."} & {*url.path.split("/")}:
            raise _invalid(text)
        suffix = "" if port in (None, _DEFAULT_PORTS[url.scheme]) else f":{port}"
        netloc = f"[{host}]" if ":" in host else host
        return cls(f"{url.scheme}://{netloc}{suffix}", host, url.path.rstrip("/"))

    def __str__(self) -> str:
        return f"{self.origin}{self.path}/"

    def with_links(self, body: str) -> str:
        """Return a JSON response with absolute links in place of paths."""
        return _ROOTED_LINK.sub(lambda match: f"{match[1]}{self}", body)


def _invalid(text: str) -> CommandError:
    return CommandError(
        "The public URL is not valid",
        where="--public-url or EASEL_PUBLIC_URL",
        why=f"{text!r} is not like https://example.com/easel/",
        fix="Use http or https, a host, and a path of letters, digits and ._~- if Easel is not at the root.",
        code=USAGE,
    )
