"""A hub of models, over the part of the Hugging Face API that mirrors have too."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
from dataclasses import dataclass
from typing import Any

import urllib3

from .failure import ImportFailed
from .files import File

CONNECTIONS = 16
TRIES = 6
"""Of each request; the waits between them add up to about half a minute."""
PATIENCE = 60
"""Seconds that one wait for a hub takes at most, whatever it asks for: CodeBuild is paid by the minute."""
_REDIRECTS = 5
_DIGEST = re.compile("sha256:[0-9a-f]{64}|git-sha1:[0-9a-f]{40}")
_SMALL_BYTES = 64 * 1024 * 1024
"""The largest answer that is no range of a file."""


class Patient(urllib3.Retry):
    """Waits as long as a hub asks for, within PATIENCE."""

    def get_retry_after(self, response: urllib3.BaseHTTPResponse) -> float | None:
        try:
            asked = super().get_retry_after(response)
        except urllib3.exceptions.InvalidHeader:
            return None
        return None if asked is None else min(asked, PATIENCE)


@dataclass(frozen=True)
class Snapshot:
    """A repository at one commit; `files` by their path there."""

    commit: str
    licence: str
    files: dict[str, File]


class Hub:
    """One repository. The token is sent to the hub itself and never to where it redirects."""

    def __init__(self, url: str, repository: str, token: str = "") -> None:
        self.url, self.repository, self._token = url.rstrip("/"), repository, token
        retries = Patient(
            total=TRIES - 1,
            backoff_factor=1,
            backoff_max=15,
            status_forcelist=(429, 500, 502, 503, 504),
            allowed_methods=None,
            raise_on_status=False,
            redirect=False,
        )
        timeout = urllib3.Timeout(connect=10, read=60)
        self._http = urllib3.PoolManager(maxsize=CONNECTIONS, retries=retries, timeout=timeout)
        self._links: dict[str, str] = {}

    def snapshot(self, revision: str) -> Snapshot:
        """What `revision` (a branch, a tag, a commit) is now. Raises ImportFailed."""
        path = f"/api/models/{self.repository}/revision/{urllib.parse.quote(revision, safe='')}?blobs=true"
        told = self._json(path, revision)
        try:
            commit, origin = str(told["sha"]), f"{self.repository}@{told['sha']}"
            files = {one["rfilename"]: _file(one, origin) for one in told["siblings"]}
            if re.fullmatch("[0-9a-f]{40}", revision) and revision != commit:
                raise ValueError(commit)
            return Snapshot(commit, _licence(told), files)
        except (KeyError, TypeError, ValueError):
            raise ImportFailed(
                f"{self.url} answers for {self.repository} what no hub would. Is hub_url right?"
            ) from None

    def fetch(self, file: File, first: int, end: int) -> bytes:
        """Bytes `first` to `end`, less the last. Raises ImportFailed."""
        if first == end:
            return b""
        for again in range(TRIES):
            try:
                return self._read(file, first, end)
            except urllib3.exceptions.HTTPError as error:  # it broke off in the middle
                lost = error
                time.sleep(min(again, 5))
        raise self._unreachable(self._link(file), lost) from lost

    def _read(self, file: File, first: int, end: int) -> bytes:
        link, headers = self._link(file), {"Range": f"bytes={first}-{end - 1}"}
        answer = self._get(link, headers)
        if answer.status in (401, 403, 410) and not self._is_hub(link):  # the signed link is too old
            answer.close()
            answer = self._get(self._link(file, fresh=True), headers)
        self._check(answer, file.name)
        data: bytes = answer.read(end - first + 1) if answer.status == 206 or first == 0 else b""
        answer.release_conn() if len(data) == end - first else answer.close()
        if len(data) != end - first:
            raise ImportFailed(
                f"{self._host(link)} does not send ranges of {file.name}: {len(data)} bytes for {end - first}. "
                "Set hub_url to a mirror that does."
            )
        return data

    def _link(self, file: File, fresh: bool = False) -> str:
        """Where the bytes are: the hub itself, or what it redirects to."""
        if fresh or file.name not in self._links:
            commit, path = file.origin.rpartition("@")[2], urllib.parse.quote(file.name)
            self._links[file.name] = self._follow(f"{self.url}/{self.repository}/resolve/{commit}/{path}", file.name)
        return self._links[file.name]

    def _follow(self, url: str, path: str) -> str:
        for _ in range(_REDIRECTS):
            answer = self._request("HEAD", url)
            self._check(answer, path)
            target = answer.get_redirect_location()
            answer.drain_conn()
            if not target:
                return url
            url = self._onward(url, target)
            if not self._is_hub(url):
                return url
        raise ImportFailed(f"{self.url} redirects {path} in a circle.")

    def _json(self, path: str, revision: str) -> dict[str, Any]:
        url, lost = self.url + path, urllib3.exceptions.HTTPError()
        for again in range(TRIES):
            try:
                return dict(json.loads(self._small(url, revision)))
            except urllib3.exceptions.HTTPError as error:  # it broke off in the middle
                lost = error
                time.sleep(min(again, 5))
            except (ValueError, TypeError, RecursionError):
                raise ImportFailed(f"{url} is no answer of a hub. Is hub_url right?") from None
        raise self._unreachable(url, lost) from lost

    def _small(self, url: str, what: str) -> bytes:
        """The answer to a GET, past the redirects of a repository that was renamed."""
        for _ in range(_REDIRECTS):
            answer = self._get(url, {})
            if not (target := answer.get_redirect_location()):
                break
            answer.close()
            url = self._onward(url, target)
        self._check(answer, what)
        try:
            data: bytes = answer.read(_SMALL_BYTES)
            return data
        finally:
            answer.close()

    def _onward(self, url: str, target: str) -> str:
        """Where a redirect leads. Raises ImportFailed: out of HTTPS, where anybody could say what is right."""
        try:
            onward = urllib.parse.urljoin(url, target)
            scheme = urllib.parse.urlsplit(onward).scheme
        except ValueError:
            onward = scheme = ""
        if scheme not in ("https", urllib.parse.urlsplit(self.url).scheme):
            raise ImportFailed(
                f"{self._host(url)} redirects to {target[:200]!r}, which is no address of HTTPS. Is hub_url right?"
            )
        return onward

    def _get(self, url: str, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        return self._request("GET", url, {"Accept-Encoding": "identity", **headers})

    def _request(self, method: str, url: str, headers: dict[str, str] | None = None) -> urllib3.BaseHTTPResponse:
        sent = {"User-Agent": "easel", **(headers or {})}
        if self._token and self._is_hub(url):
            sent["Authorization"] = f"Bearer {self._token}"
        try:
            return self._http.request(method, url, headers=sent, redirect=False, preload_content=False)
        except urllib3.exceptions.MaxRetryError as error:
            raise self._unreachable(url, error) from error

    def _unreachable(self, url: str, error: Exception) -> ImportFailed:
        why = type(getattr(error, "reason", None) or error).__name__
        return ImportFailed(
            f"{self._host(url)} cannot be reached or breaks off, {TRIES} times in a row ({why}). What is in the bucket "
            "stays: deploy again and the import goes on. Where the hub is shut off, set hub_url to a mirror."
        )

    def _is_hub(self, url: str) -> bool:
        return urllib.parse.urlsplit(url)[:2] == urllib.parse.urlsplit(self.url)[:2]

    def _host(self, url: str) -> str:
        return urllib.parse.urlsplit(url).netloc

    def _check(self, answer: urllib3.BaseHTTPResponse, what: str) -> None:
        if answer.status < 400:
            return
        answer.close()
        raise ImportFailed(self._explain(answer.status, answer.headers.get("X-Error-Code", ""), what))

    def _explain(self, status: int, code: str, what: str) -> str:
        page = f"{self.url}/{self.repository}"
        token = "the token of hub_token_secret" if self._token else "no token (hub_token_secret)"
        if code == "GatedRepo":
            return (
                f"{self.repository} is gated, and {token} was sent ({status}). Accept the licence at {page} with your "
                "account, make a token with read access to gated repositories, keep it in Secrets Manager and set "
                "hub_token_secret to the secret's ARN or name."
            )
        if code == "RevisionNotFound":
            return f"{self.repository} has no branch, tag or commit {what!r}. See {page}/tree/main."
        if code == "EntryNotFound":
            return f"{self.repository} no longer has {what}. Name another revision in the catalogue. See {page}."
        if status == 429:
            return f"{self.url} answers 429, too many requests; {token} was sent. Deploy again later, or set a token."
        if code == "RepoNotFound" or status in (401, 403, 404):
            return (
                f"{self.repository} is not there for us ({status}; {token} was sent): it was removed, renamed or is "
                f"private. See {page}. Choose another repository or mirror, or set a token that may read it."
            )
        return (
            f"{self.url} answers {status} for {what} ({TRIES} tries). Deploy again later, or set hub_url to a mirror."
        )


def _file(told: dict[str, Any], origin: str) -> File:
    """Raises KeyError, TypeError or ValueError for what no hub says."""
    lfs = told.get("lfs")
    digest = f"sha256:{lfs['sha256']}" if lfs else f"git-sha1:{told['blobId']}"
    size, name = int(lfs["size"] if lfs else told["size"]), str(told["rfilename"])
    if size < 0 or not _DIGEST.fullmatch(digest):
        raise ValueError(name)
    return File(name, size, digest, origin, name)


def _licence(told: dict[str, Any]) -> str:
    card = told.get("cardData") or {}
    named = card.get("license_name") or card.get("license") or ""
    tags = (tag for tag in told.get("tags") or () if str(tag).startswith("license:"))
    return str(named or next(tags, "").removeprefix("license:") or "unknown")
