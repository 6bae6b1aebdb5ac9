"""A backend that calls Easel's API by URL and key."""

from __future__ import annotations

import ipaddress
import re
import time
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

TIMEOUT = httpx.Timeout(35, connect=5)
"""Seconds. `POST /generate` responds within 30 with the images or with the job."""
POLL_SECONDS = 1.0
KEY_REFUSED = frozenset({"unauthorized", "forbidden"})


class EaselApi:
    """Generates through the API.

    `wait_seconds` is the time for a job, longer than an endpoint needs to start its first instance.
    Raises ImportError, ValueError or httpx.InvalidURL if the URL, the key or a proxy variable cannot be used.
    """

    def __init__(self, url: str, key: str = "", wait_seconds: float = 900) -> None:
        if not re.fullmatch("([!-~]([ -~]*[!-~])?)?", key):
            raise ValueError("the key has characters that a header cannot contain")
        headers = {"accept": "application/json"} | ({"x-api-key": key} if key else {})
        use_proxy = not is_loopback(urlsplit(url).hostname or "")
        self._http = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT, trust_env=use_proxy)
        self._wait_seconds = wait_seconds

    def limits(self) -> Limits:
        try:
            bounds = self._json("GET", "models")["models"][0]["bounds"]
            side, prompt = bounds["width"], bounds["prompt_chars"]
            return Limits(side["minimum"], side["maximum"], bounds["side_multiple"], prompt["maximum"])
        except (KeyError, IndexError, TypeError):
            raise GenerationError("wrong_address") from None

    def generate(self, request: ImageRequest) -> GeneratedImage:
        end = time.monotonic() + self._wait_seconds
        response = self._json("POST", "generate", json=request.payload())
        while response.get("status") in ("queued", "running"):
            if time.monotonic() > end:
                raise GenerationError("model_timeout")
            time.sleep(POLL_SECONDS)
            response = self._json("GET", f"jobs/{response['id']}")
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
            response = httpx.get(link, timeout=TIMEOUT) if "://" in link else self._http.get(link)
            return response.raise_for_status().content
        except (httpx.HTTPError, OSError):  # OSError: certificates that cannot be read
            raise GenerationError("upstream_unreachable") from None

    def _json(self, method: str, path: str, json: Any = None) -> dict[str, Any]:
        try:
            response = self._http.request(method, path, json=json)
            body = response.json()
        except httpx.TimeoutException:
            raise GenerationError("model_timeout") from None
        except httpx.HTTPError:
            raise GenerationError("upstream_unreachable") from None
        except ValueError:
            raise GenerationError("wrong_address") from None
        if not isinstance(body, dict):
            raise GenerationError("wrong_address")
        if response.is_error:
            raise to_error(body, response.status_code)
        return body


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
    fields = [FIELDS.get(str(param.get("name")), "") for param in problem.get("invalid_params") or ()]
    detail = " ".join(str(problem[name]) for name in ("detail", "hint") if problem.get(name))
    return GenerationError(code, detail, field=fields[0] if fields else "", status=STATUS.get(code, status))
