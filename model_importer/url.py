"""One file at a URL, such as a download link of Civitai."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import urllib3

from .connection import MALFORMED, MAX_REDIRECTS, METADATA_BYTES, Connection, Response, is_encoded
from .errors import URL_ADVICE, Advice, ModelImportError
from .files import File

_RANGE = re.compile(r"bytes 0-0/(\d{1,15})")
_CIVITAI = re.compile(r"/api/download/models/(\d+)")
_SECRETS = frozenset({
    "token", "api_key", "apikey", "key", "access_token", "private_token", "password", "secret", "auth",
    "authorization", "sig", "signature", "x-amz-signature", "x-amz-security-token", "x-goog-signature",
})  # fmt: skip
"""Names in a query, in lower case: of tokens, and of signatures, which are as good until they expire."""


@dataclass(frozen=True)
class Description:
    """What a site says about a file. Empty: it says nothing."""

    sha256: str = ""
    name: str = ""
    page: str = ""


class Url(Connection):
    """A file at a URL."""

    def __init__(
        self,
        url: str,
        token: str = "",
        connections: Callable[..., urllib3.PoolManager] = urllib3.PoolManager,
        advice: Advice | None = None,
    ) -> None:
        super().__init__(url, token, connections, advice or URL_ADVICE)
        self._target = ""

    def file(self, sha256: str = "") -> File:
        """Return the file with its size. Raises ModelImportError: it is not there, or its server sends no ranges."""
        url, response = self._follow()
        response.close()
        found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if response.headers.get("Content-Type", "").startswith("text/html"):
            message = f"{self._host(self.url)} sends a web page, not a file. Use the link of the download itself"
            raise ModelImportError(f"{message}; a sign-in page means that it needs a token ({self._advice.access}).")
        if response.status != 206 or found is None or is_encoded(response):
            raise ModelImportError(
                f"{self._host(url)} does not send ranges of its files (HTTP {response.status}). Instead, "
                f"{self._detour()}."
            )
        self._target = url
        digest = f"sha256:{sha256}" if sha256 else f"unknown:{response.headers.get('ETag', '')[:200]}"
        return File(self._name(), int(found[1]), digest, self.url, self._name())

    def describe(self) -> Description:
        """Return what Civitai's API says about one of its download links. Other sites have no such API."""
        parts = urllib.parse.urlsplit(self.url)
        if not (link := _CIVITAI.fullmatch(parts.path)):
            return Description()
        try:
            response = self._get(f"{parts.scheme}://{parts.netloc}/api/v1/model-versions/{link[1]}", {})
            body = response.read(METADATA_BYTES) if response.status == 200 else b"{}"
            response.close()
            return _description(json.loads(body), parts, urllib.parse.parse_qs(parts.query))
        except (ModelImportError, urllib3.exceptions.HTTPError, *MALFORMED):
            return Description()

    def _detour(self) -> str:
        return "download the file with a browser and use the local copy, or put it into S3"

    def _file_url(self, file: File, fresh: bool = False) -> str:
        if fresh or not self._target:
            self._target, response = self._follow()
            response.close()
        return self._target

    def _follow(self) -> tuple[str, Response]:
        """Return the URL of the bytes, and the response for the first of them."""
        url = self.url
        for _ in range(MAX_REDIRECTS):
            response = self._get(url, {"Range": "bytes=0-0"})
            self._check(response, self._name())
            if not (target := response.get_redirect_location()):
                return url, response
            response.close()
            url = self._redirect_url(url, target)
        raise ModelImportError(f"{self._host(self.url)} redirects in a circle. Check the URL.")

    def _name(self) -> str:
        return urllib.parse.unquote(urllib.parse.urlsplit(self.url).path).rpartition("/")[2] or "file"

    def _explain(self, status: int, code: str, subject: str) -> str:
        host, advice = self._host(self.url), self._advice
        sent = f"the token of {advice.access} was sent" if self._token else f"no token was sent ({advice.access})"
        if status in (401, 403):
            return f"{host} denies access to {subject} ({status}; {sent}). Create a token at {host} and {advice.grant}."
        if status in (404, 410):
            return f"{host} has no {subject} ({status}): it was removed, or the URL is wrong."
        if status == 416:
            return f"{subject} at {host} is empty ({status}). Use another file."
        if status == 429:
            return f"{host} answers 429, too many requests; {sent}. {advice.again} later."
        return f"{host} answers {status} for {subject}. {advice.again} later."


def secret_in(url: str) -> str:
    """Return the name of the part of a URL that looks like a secret, or ""."""
    parts = urllib.parse.urlsplit(url)
    names = (name for name, _ in urllib.parse.parse_qsl(parts.query))
    return "password" if parts.username or parts.password else next((n for n in names if n.lower() in _SECRETS), "")


def _description(version: Any, parts: urllib.parse.SplitResult, query: dict[str, list[str]]) -> Description:
    """Return the description of the file that the link means: the primary file, unless it names another format."""
    files = [file for file in version["files"] if not query or file.get("type") in query.get("type", [file["type"]])]
    file = next((file for file in files if file.get("primary")), files[0])
    sha256 = str(file.get("hashes", {}).get("SHA256", "")).lower()
    page = f"{parts.scheme}://{parts.netloc}/models/{int(version['modelId'])}?modelVersionId={int(version['id'])}"
    name = f"{version['model']['name']} {version['name']}"
    return Description(sha256 if re.fullmatch("[0-9a-f]{64}", sha256) else "", name, page)
