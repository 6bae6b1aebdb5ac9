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

from .connection import MALFORMED, MAX_REDIRECTS, METADATA_BYTES, TRIES, Connection
from .errors import Advice, ModelImportError
from .files import File
from .model_folder import printable

_DIGEST = re.compile("sha256:[0-9a-f]{64}|git-sha1:[0-9a-f]{40}")


@dataclass(frozen=True)
class Snapshot:
    """A repository at one commit. `files` maps paths to files."""

    commit: str
    licence: str
    files: dict[str, File]
    gated: bool = False
    """The hub wants a token of an account that accepted the licence."""


class Hub(Connection):
    """One repository of a hub."""

    def __init__(
        self,
        url: str,
        repository: str,
        token: str = "",
        connections: Callable[..., urllib3.PoolManager] = urllib3.PoolManager,
        advice: Advice | None = None,
    ) -> None:
        super().__init__(url, token, connections, advice)
        self.repository = repository
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
            return Snapshot(commit, _licence(info), files, bool(info.get("gated")))
        except MALFORMED:
            raise ModelImportError(
                f"{self.url} describes {self.repository} as no Hugging Face hub does. Check {self._advice.hub}."
            ) from None

    def _file_url(self, file: File, fresh: bool = False) -> str:
        """Return the URL of the bytes: at the hub, or where it redirects to."""
        if fresh or file.name not in self._file_urls:
            commit, path = file.origin.rpartition("@")[2], urllib.parse.quote(file.name)
            url = f"{self.url}/{self.repository}/resolve/{commit}/{path}"
            self._file_urls[file.name] = self._follow_redirects(url, file.name)
        return self._file_urls[file.name]

    def _follow_redirects(self, url: str, path: str) -> str:
        for _ in range(MAX_REDIRECTS):
            response = self._request("HEAD", url)
            self._check(response, path)
            target = response.get_redirect_location()
            response.drain_conn()
            if not target:
                return url
            url = self._redirect_url(url, target)
            if not self._is_home(url):
                return url
        raise ModelImportError(f"{self.url} redirects {path} in a circle. Check {self._advice.hub}.")

    def _get_json(self, path: str, revision: str) -> dict[str, Any]:
        url, last_error = self.url + path, urllib3.exceptions.HTTPError()
        for attempt in range(TRIES):
            try:
                return dict(json.loads(self._get_metadata(url, revision)))
            except urllib3.exceptions.HTTPError as error:  # the connection broke in the middle
                last_error = error
                time.sleep(min(attempt, 5))
            except MALFORMED:
                hub = self._advice.hub
                raise ModelImportError(f"The response of {url} is not a JSON object. Check {hub}.") from None
        raise self._unreachable(url, last_error) from last_error

    def _get_metadata(self, url: str, subject: str) -> bytes:
        """Return the body of a GET. Follows the redirects of a renamed repository."""
        for _ in range(MAX_REDIRECTS):
            response = self._get(url, {})
            if not (target := response.get_redirect_location()):
                break
            response.close()
            url = self._redirect_url(url, target)
        self._check(response, subject)
        try:
            data: bytes = response.read(METADATA_BYTES)
            return data
        finally:
            response.close()

    def _explain(self, status: int, code: str, subject: str) -> str:
        page = f"{self.url}/{self.repository}"
        advice = self._advice
        token = f"the token of {advice.access}" if self._token else f"no token ({advice.access})"
        if code == "GatedRepo":
            return (
                f"{self.repository} is gated, and {token} was sent ({status}). Accept the licence at {page} with your "
                f"account, create a token with read access to gated repositories, {advice.grant}."
            )
        if code == "RevisionNotFound":
            return f"{self.repository} has no branch, tag or commit {subject!r}. See {page}/tree/main."
        if code == "EntryNotFound":
            return f"{self.repository} no longer has {subject}. Set another revision in the catalogue. See {page}."
        if status == 429:
            return f"{self.url} answers 429, too many requests; {token} was sent. {advice.again} later, or set a token."
        if code == "RepoNotFound" or status in (401, 403, 404):
            return (
                f"{self.repository} is not available ({status}; {token} was sent): it was removed or renamed, or is "
                f"private. See {page}. Use another repository or mirror, or set a token that may read it."
            )
        return (
            f"{self.url} answers {status} for {subject} ({TRIES} tries). {advice.again} later, or set {advice.hub} to "
            "a mirror."
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
