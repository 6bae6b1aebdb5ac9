"""A model hub with the part of the Hugging Face API that mirrors have too."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import urllib3

from .errors import ModelImportError
from .files import File
from .model_folder import printable

CONNECTIONS = 16
TRIES = 6
"""Tries of each request. The waits between them add up to about half a minute."""
MAX_RETRY_SECONDS = 60
"""The longest wait, whatever `Retry-After` says: CodeBuild is paid by the minute."""
_MAX_REDIRECTS = 5
_DIGEST = re.compile("sha256:[0-9a-f]{64}|git-sha1:[0-9a-f]{40}")
_METADATA_BYTES = 64 * 1024 * 1024
"""The largest response that is not a range of a file."""

Response = urllib3.BaseHTTPResponse


class BoundedRetry(urllib3.Retry):
    """Obeys `Retry-After` up to MAX_RETRY_SECONDS."""

    def get_retry_after(self, response: Response) -> float | None:
        try:
            seconds = super().get_retry_after(response)
        except urllib3.exceptions.InvalidHeader:
            return None
        return None if seconds is None else min(seconds, MAX_RETRY_SECONDS)


@dataclass(frozen=True)
class Snapshot:
    """A repository at one commit. `files` maps paths to files."""

    commit: str
    licence: str
    files: dict[str, File]


class Hub:
    """One repository of a hub. The token is sent to the hub itself, never to a host that it redirects to."""

    def __init__(
        self,
        url: str,
        repository: str,
        token: str = "",
        connections: Callable[..., urllib3.PoolManager] = urllib3.PoolManager,
    ) -> None:
        self.url, self.repository, self._token = url.rstrip("/"), repository, token
        retries = BoundedRetry(
            total=TRIES - 1,
            backoff_factor=1,
            backoff_max=15,
            status_forcelist=(429, 500, 502, 503, 504),
            allowed_methods=None,
            raise_on_status=False,
            redirect=False,
        )
        timeout = urllib3.Timeout(connect=10, read=60)
        self._http = connections(maxsize=CONNECTIONS, retries=retries, timeout=timeout)
        self._file_urls: dict[str, str] = {}

    def snapshot(self, revision: str) -> Snapshot:
        """Return the repository at `revision` (a branch, a tag or a commit). Raises ModelImportError."""
        path = f"/api/models/{self.repository}/revision/{urllib.parse.quote(revision, safe='')}?blobs=true"
        info = self._get_json(path, revision)
        try:
            commit, origin = str(info["sha"]), f"{self.repository}@{info['sha']}"
            files = {item["rfilename"]: _file(item, origin) for item in info["siblings"]}
            is_commit = re.fullmatch("[0-9a-f]{40}", revision) is not None
            if not re.fullmatch(r"[\w.-]{1,64}", commit, re.ASCII) or (is_commit and revision != commit):
                raise ValueError(commit)
            return Snapshot(commit, _licence(info), files)
        except (KeyError, TypeError, ValueError):
            raise ModelImportError(
                f"{self.url} describes {self.repository} as no Hugging Face hub does. Check hub_url."
            ) from None

    def fetch(self, file: File, first: int, end: int) -> bytes:
        """Return the bytes from `first` up to, not including, `end`. Raises ModelImportError."""
        if first == end:
            return b""
        for attempt in range(TRIES):
            try:
                return self._read(file, first, end)
            except urllib3.exceptions.HTTPError as error:  # the connection broke in the middle
                last_error = error
                time.sleep(min(attempt, 5))
        raise self._unreachable(self._file_url(file), last_error) from last_error

    def _read(self, file: File, first: int, end: int) -> bytes:
        url, headers = self._file_url(file), {"Range": f"bytes={first}-{end - 1}"}
        response = self._get(url, headers)
        if response.status in (401, 403, 410) and not self._is_hub(url):  # the signed URL has expired
            response.close()
            response = self._get(self._file_url(file, fresh=True), headers)
        self._check(response, file.name)
        data: bytes = response.read(end - first + 1) if response.status == 206 or first == 0 else b""
        response.release_conn() if len(data) == end - first else response.close()
        if len(data) != end - first:
            raise ModelImportError(
                f"{self._host(url)} does not send ranges of {file.name}: {len(data)} bytes for {end - first}. "
                "Set hub_url to a mirror that does."
            )
        return data

    def _file_url(self, file: File, fresh: bool = False) -> str:
        """Return the URL of the bytes: at the hub, or where it redirects to."""
        if fresh or file.name not in self._file_urls:
            commit, path = file.origin.rpartition("@")[2], urllib.parse.quote(file.name)
            url = f"{self.url}/{self.repository}/resolve/{commit}/{path}"
            self._file_urls[file.name] = self._follow_redirects(url, file.name)
        return self._file_urls[file.name]

    def _follow_redirects(self, url: str, path: str) -> str:
        for _ in range(_MAX_REDIRECTS):
            response = self._request("HEAD", url)
            self._check(response, path)
            target = response.get_redirect_location()
            response.drain_conn()
            if not target:
                return url
            url = self._redirect_url(url, target)
            if not self._is_hub(url):
                return url
        raise ModelImportError(f"{self.url} redirects {path} in a circle. Check hub_url.")

    def _get_json(self, path: str, revision: str) -> dict[str, Any]:
        url, last_error = self.url + path, urllib3.exceptions.HTTPError()
        for attempt in range(TRIES):
            try:
                return dict(json.loads(self._get_metadata(url, revision)))
            except urllib3.exceptions.HTTPError as error:  # the connection broke in the middle
                last_error = error
                time.sleep(min(attempt, 5))
            except (ValueError, TypeError, RecursionError):
                raise ModelImportError(f"The response of {url} is not a JSON object. Check hub_url.") from None
        raise self._unreachable(url, last_error) from last_error

    def _get_metadata(self, url: str, subject: str) -> bytes:
        """Return the body of a GET. Follows the redirects of a renamed repository."""
        for _ in range(_MAX_REDIRECTS):
            response = self._get(url, {})
            if not (target := response.get_redirect_location()):
                break
            response.close()
            url = self._redirect_url(url, target)
        self._check(response, subject)
        try:
            data: bytes = response.read(_METADATA_BYTES)
            return data
        finally:
            response.close()

    def _redirect_url(self, url: str, target: str) -> str:
        """Return the absolute URL. Raises ModelImportError for one without HTTPS: digests must come over HTTPS."""
        try:
            absolute = urllib.parse.urljoin(url, target)
            scheme = urllib.parse.urlsplit(absolute).scheme
        except ValueError:
            absolute = scheme = ""
        if scheme not in ("https", urllib.parse.urlsplit(self.url).scheme):
            raise ModelImportError(
                f"{self._host(url)} redirects to {target[:200]!r}, which is not an HTTPS URL. Check hub_url."
            )
        return absolute

    def _get(self, url: str, headers: dict[str, str]) -> Response:
        return self._request("GET", url, {"Accept-Encoding": "identity", **headers})

    def _request(self, method: str, url: str, headers: dict[str, str] | None = None) -> Response:
        all_headers = {"User-Agent": "easel", **(headers or {})}
        if self._token and self._is_hub(url):
            all_headers["Authorization"] = f"Bearer {self._token}"
        try:
            return self._http.request(method, url, headers=all_headers, redirect=False, preload_content=False)
        except urllib3.exceptions.MaxRetryError as error:
            raise self._unreachable(url, error) from error

    def _unreachable(self, url: str, error: Exception) -> ModelImportError:
        reason = type(getattr(error, "reason", None) or error).__name__
        return ModelImportError(
            f"{self._host(url)} cannot be reached or closes the connection, {TRIES} times in a row ({reason}). Deploy "
            "again: the import continues with what is in the bucket. If the hub is blocked, set hub_url to a mirror."
        )

    def _is_hub(self, url: str) -> bool:
        return urllib.parse.urlsplit(url)[:2] == urllib.parse.urlsplit(self.url)[:2]

    def _host(self, url: str) -> str:
        return urllib.parse.urlsplit(url).netloc

    def _check(self, response: Response, subject: str) -> None:
        """Raise ModelImportError for an error status. `subject` is the file or revision of the request."""
        if response.status < 400:
            return
        response.close()
        raise ModelImportError(self._explain(response.status, response.headers.get("X-Error-Code", ""), subject))

    def _explain(self, status: int, code: str, subject: str) -> str:
        page = f"{self.url}/{self.repository}"
        token = "the token of hub_token_secret" if self._token else "no token (hub_token_secret)"
        if code == "GatedRepo":
            return (
                f"{self.repository} is gated, and {token} was sent ({status}). Accept the licence at {page} with your "
                "account, create a token with read access to gated repositories, store it in Secrets Manager and set "
                "hub_token_secret to the secret's ARN or name."
            )
        if code == "RevisionNotFound":
            return f"{self.repository} has no branch, tag or commit {subject!r}. See {page}/tree/main."
        if code == "EntryNotFound":
            return f"{self.repository} no longer has {subject}. Set another revision in the catalogue. See {page}."
        if status == 429:
            return f"{self.url} answers 429, too many requests; {token} was sent. Deploy again later, or set a token."
        if code == "RepoNotFound" or status in (401, 403, 404):
            return (
                f"{self.repository} is not available ({status}; {token} was sent): it was removed or renamed, or is "
                f"private. See {page}. Use another repository or mirror, or set a token that may read it."
            )
        return (
            f"{self.url} answers {status} for {subject} ({TRIES} tries). Deploy again later, or set hub_url to a "
            "mirror."
        )


def _file(item: dict[str, Any], origin: str) -> File:
    """Return a file of the API's list. Raises KeyError, TypeError or ValueError if it is malformed."""
    lfs = item.get("lfs")
    digest = f"sha256:{lfs['sha256']}" if lfs else f"git-sha1:{item['blobId']}"
    size, name = int(lfs["size"] if lfs else item["size"]), str(item["rfilename"])
    if size < 0 or not _DIGEST.fullmatch(digest):
        raise ValueError(name)
    return File(name, size, digest, origin, name)


def _licence(info: dict[str, Any]) -> str:
    model_card = info.get("cardData") or {}
    licence = model_card.get("license_name") or model_card.get("license") or ""
    tags = (tag for tag in info.get("tags") or () if str(tag).startswith("license:"))
    return printable(str(licence or next(tags, "").removeprefix("license:") or "unknown"))
