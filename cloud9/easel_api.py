"""A backend that calls Easel's API by URL and key."""

from __future__ import annotations

import ipaddress
import operator
import os
import re
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from backends import (
    FIELDS,
    STATUS,
    GeneratedImage,
    GenerationError,
    ImageRequest,
    Limits,
    media_type,
    read_error,
    read_image,
    read_warnings,
)
from deadline import call_within

TIMEOUT = httpx.Timeout(35, connect=5)
"""Seconds. `POST /generate` responds within 30 with the images or with the job."""
RESPONSE_SECONDS, RESPONSE_BYTES = 120.0, 64 * 2**20
"""Longest time for a whole response, and its largest size."""
CERTIFICATES = {"SSL_CERT_FILE": stat.S_ISREG, "SSL_CERT_DIR": stat.S_ISDIR}
"""Variables that httpx reads, and what they must name: a pipe would hold the app."""
POLL_SECONDS = 1.0
KEY_REFUSED = frozenset({"unauthorized", "forbidden"})


class EaselApi:
    """Generates through the API.

    `wait_seconds` is the time for a job, longer than an endpoint needs to start its first instance.
    Raises ImportError, ValueError or httpx.InvalidURL if the URL, the key or a proxy variable cannot be used, and
    OSError if it is certificates.
    """

    def __init__(self, url: str, key: str = "", wait_seconds: float = 900) -> None:
        if not re.fullmatch("([!-~]([ -~]*[!-~])?)?", key):
            raise ValueError("the key has characters that a header cannot contain")
        headers = {"accept": "application/json", "accept-encoding": "identity"} | ({"x-api-key": key} if key else {})
        use_proxy = not is_loopback(urlsplit(url).hostname or "")
        if use_proxy:
            check_files(CERTIFICATES)
        self._http = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT, trust_env=use_proxy)
        self._wait_seconds = wait_seconds

    def limits(self) -> Limits:
        try:
            bounds = self._json("GET", "models")["models"][0]["bounds"]
            side, prompt = bounds["width"], bounds["prompt_chars"]
            numbers = side["minimum"], side["maximum"], bounds["side_multiple"], prompt["maximum"]
            return Limits(*map(operator.index, numbers))
        except (KeyError, IndexError, TypeError):
            raise GenerationError("wrong_address") from None

    def generate(self, request: ImageRequest) -> GeneratedImage:
        end = time.monotonic() + self._wait_seconds
        response = self._json("POST", "generate", json=request.payload())
        while response.get("status") in ("queued", "running"):
            if time.monotonic() > end:
                raise GenerationError("model_timeout")
            time.sleep(POLL_SECONDS)
            response = self._json("GET", f"jobs/{response.get('id')}")
        if response.get("error"):
            raise read_error(response["error"])
        return read_image(response) if response.get("generated_images") else self._download(response)

    def _download(self, response: dict[str, Any]) -> GeneratedImage:
        try:
            image = response["images"][0]
            link, seed = str(image["url"]), int(image["seed"])
            data = self._bytes(link)
            return GeneratedImage(data, media_type(data), seed, read_warnings(response))
        except (KeyError, IndexError, TypeError, ValueError):
            raise GenerationError("model_bad_response") from None

    def _bytes(self, link: str) -> bytes:
        """Fetch a link. A link to another host, such as S3, is requested without the API key."""
        try:
            if "://" not in link:
                response = receive(self._http, "GET", link)
            else:
                check_files(CERTIFICATES)
                with httpx.Client(timeout=TIMEOUT, headers={"accept-encoding": "identity"}) as client:
                    response = receive(client, "GET", link)
            return response.raise_for_status().content
        except (httpx.HTTPError, OSError):  # OSError: certificates that cannot be read
            raise GenerationError("upstream_unreachable") from None

    def _json(self, method: str, path: str, json: Any = None) -> dict[str, Any]:
        try:
            response = receive(self._http, method, path, json=json)
            body = response.json()
        except (httpx.TimeoutException, TimeoutError):
            raise GenerationError("model_timeout") from None
        except httpx.HTTPError:
            raise GenerationError("upstream_unreachable") from None
        except (ValueError, RecursionError):
            raise GenerationError("wrong_address") from None
        if not isinstance(body, dict):
            raise GenerationError("wrong_address")
        if response.is_error:
            raise to_error(body, response.status_code)
        return body


def receive(client: httpx.Client, method: str, url: str, **options: Any) -> httpx.Response:
    """Send a request, and read the response up to its limits. Raises TimeoutError, or ValueError if it is too large."""

    def exchange() -> httpx.Response:
        with client.stream(method, url, **options) as response:
            body = bytearray()
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > RESPONSE_BYTES:
                    raise ValueError("the response is too large")
            return httpx.Response(response.status_code, content=bytes(body), request=response.request)

    return call_within(RESPONSE_SECONDS, exchange)


def check_files(variables: Mapping[str, Callable[[int], bool]]) -> None:
    """Raise OSError if a variable names something else than the kind of file that it must."""
    for name, is_right in variables.items():
        if (path := os.environ.get(name)) and not is_right(Path(path).stat().st_mode):
            raise OSError(f"{name}={path} is another kind of file")


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def to_error(problem: dict[str, Any], status: int) -> GenerationError:
    """Convert a problem document of the API.

    A refused key and a wrong address are errors in this app's set-up, so they have codes of this app.
    """
    code = str(problem.get("code", ""))
    if code in KEY_REFUSED or (not code and status in (401, 403)):
        return GenerationError("key_refused")
    if code in ("", "not_found", "method_not_allowed"):
        return GenerationError("throttled" if status == 429 else "wrong_address")
    params = problem.get("invalid_params")
    names = [param.get("name") for param in params if isinstance(param, dict)] if isinstance(params, list) else []
    fields = [FIELDS.get(str(name), "") for name in names]
    detail = " ".join(str(problem[name]) for name in ("detail", "hint") if problem.get(name))
    return GenerationError(code, detail, field=fields[0] if fields else "", status=STATUS.get(code, status))
