"""Ranges of files over HTTPS: retries, redirects to other hosts without the token, and responses of a bounded size."""

from __future__ import annotations

import re
import time
import urllib.parse
from abc import ABC, abstractmethod
from collections.abc import Callable

import urllib3

from .errors import Advice, ModelImportError
from .files import File

CONNECTIONS = 16
TRIES = 6
"""Tries of each request. The waits between them add up to about half a minute."""
MAX_RETRY_SECONDS = 60
"""The longest wait, whatever `Retry-After` says: CodeBuild is paid by the minute."""
MAX_REDIRECTS = 5
METADATA_BYTES = 64 * 1024 * 1024
"""The largest response that is not a range of a file."""

MALFORMED = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)
"""What reading JSON raises that has other types, numbers or depths than it should have."""

Response = urllib3.BaseHTTPResponse


class BoundedRetry(urllib3.Retry):
    """Obeys `Retry-After` up to MAX_RETRY_SECONDS."""

    def get_retry_after(self, response: Response) -> float | None:
        try:
            seconds = super().get_retry_after(response)
        except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
            return None
        return None if seconds is None else min(seconds, MAX_RETRY_SECONDS)


class Connection(ABC):
    """One origin of files. The token is sent to the host of `url`, never to a host that it redirects to."""

    def __init__(
        self,
        url: str,
        token: str = "",
        connections: Callable[..., urllib3.PoolManager] = urllib3.PoolManager,
        advice: Advice | None = None,
    ) -> None:
        self.url, self._token, self._advice = url.rstrip("/"), token, advice or Advice()
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
        if response.status in (401, 403, 410) and not self._is_home(url):  # the signed URL has expired
            response.close()
            response = self._get(self._file_url(file, fresh=True), headers)
        self._check(response, file.name)
        readable = is_range(response, first, file.size) or (response.status != 206 and first == 0)
        data: bytes = response.read(end - first + 1) if readable and not is_encoded(response) else b""
        response.release_conn() if len(data) == end - first else response.close()
        if len(data) != end - first:
            raise self._no_ranges(url, file.name, f"{len(data)} bytes for {end - first}")
        return data

    @abstractmethod
    def _file_url(self, file: File, fresh: bool = False) -> str:
        """Return the URL of the bytes: here, or where the request was redirected to. `fresh`: ask again."""

    @abstractmethod
    def _explain(self, status: int, code: str, subject: str) -> str:
        """Return the text for an error status."""

    def _no_ranges(self, url: str, name: str, found: str) -> ModelImportError:
        return ModelImportError(
            f"{self._host(url)} does not send ranges of {name}: {found}. Instead, {self._detour()}."
        )

    def _redirect_url(self, url: str, target: str) -> str:
        """Return the absolute URL. Raises ModelImportError for one without HTTPS: digests must come over HTTPS."""
        try:
            absolute = urllib.parse.urljoin(url, target)
            scheme = urllib.parse.urlsplit(absolute).scheme
        except ValueError:
            absolute = scheme = ""
        if scheme not in ("https", urllib.parse.urlsplit(self.url).scheme):
            shown = target.partition("?")[0][:200]  # the query may have a signature
            raise ModelImportError(
                f"{self._host(url)} redirects to {shown!r}, which is not an HTTPS URL. Instead, {self._detour()}."
            )
        return absolute

    def _get(self, url: str, headers: dict[str, str]) -> Response:
        return self._request("GET", url, {"Accept-Encoding": "identity", **headers})

    def _request(self, method: str, url: str, headers: dict[str, str] | None = None) -> Response:
        all_headers = {"User-Agent": "easel", **(headers or {})}
        if self._token and self._is_home(url):
            all_headers["Authorization"] = f"Bearer {self._token}"
        try:
            return self._http.request(method, url, headers=all_headers, redirect=False, preload_content=False)
        except urllib3.exceptions.MaxRetryError as error:
            raise self._unreachable(url, error) from error
        except ValueError as error:  # urllib3 refuses the URL: its port, its host or a label of that
            shown = url.partition("?")[0][:200]  # the query may have a signature
            raise ModelImportError(f"{shown!r} is not a valid URL ({type(error).__name__}). Check it.") from None

    def _unreachable(self, url: str, error: Exception) -> ModelImportError:
        reason = type(getattr(error, "reason", None) or error).__name__
        return ModelImportError(
            f"{self._host(url)} cannot be reached or closes the connection, {TRIES} times in a row ({reason}). "
            f"{self._advice.again}: what has arrived is kept. If the host is blocked, {self._detour()}."
        )

    def _detour(self) -> str:
        """Return where else the files may be had."""
        return f"use a mirror ({self._advice.hub})"

    def _is_home(self, url: str) -> bool:
        return urllib.parse.urlsplit(url)[:2] == urllib.parse.urlsplit(self.url)[:2]

    def _host(self, url: str) -> str:
        return urllib.parse.urlsplit(url).netloc

    def _check(self, response: Response, subject: str) -> None:
        """Raise ModelImportError for an error status. `subject` is the file or revision of the request."""
        if response.status < 400:
            return
        response.close()
        raise ModelImportError(self._explain(response.status, response.headers.get("X-Error-Code", ""), subject))


def is_range(response: Response, first: int, size: int) -> bool:
    """Return whether a response has bytes from `first` on of a file of `size` bytes."""
    found = re.match(r"bytes (\d{1,15})-\d{1,15}/(\d{1,15}|\*)$", response.headers.get("Content-Range", ""))
    return response.status == 206 and (found is None or (int(found[1]) == first and found[2] in ("*", str(size))))


def is_encoded(response: Response) -> bool:
    """Return whether the body is compressed: then its bytes are not those of the file."""
    return response.headers.get("Content-Encoding", "identity").lower() != "identity"
