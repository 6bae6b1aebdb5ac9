"""Easel's API by URL and key."""

from __future__ import annotations

import ipaddress
import re
import time
from typing import Any
from urllib.parse import urlsplit

import httpx

from backends import FIELDS, STATUS, DrawError, Limits, Order, Picture, media_type, to_error, to_picture, warnings_of

TIMEOUT = httpx.Timeout(35, connect=5)
"""Seconds. `POST /generate` answers within 30: with the pictures, or with the job."""
POLL_SECONDS = 1.0
KEY_REFUSED = frozenset({"unauthorized", "forbidden"})


class EaselApi:
    """Waits `wait_seconds` in all: longer than an endpoint needs to wake up from zero instances.

    Raises ImportError, ValueError or httpx.InvalidURL for an address, a key or a proxy that cannot be used.
    """

    def __init__(self, url: str, key: str = "", wait_seconds: float = 900) -> None:
        if not re.fullmatch("([!-~]([ -~]*[!-~])?)?", key):
            raise ValueError("the key has characters that no header holds")
        headers = {"accept": "application/json"} | ({"x-api-key": key} if key else {})
        away = not is_loopback(urlsplit(url).hostname or "")  # no proxy reaches this machine
        self._http = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT, trust_env=away)
        self._wait_seconds = wait_seconds

    def limits(self) -> Limits:
        try:
            bounds = self._json("GET", "models")["models"][0]["bounds"]
            side, prompt = bounds["width"], bounds["prompt_chars"]
            return Limits(side["minimum"], side["maximum"], bounds["side_multiple"], prompt["maximum"])
        except (KeyError, IndexError, TypeError):
            raise DrawError("wrong_address") from None

    def draw(self, order: Order) -> Picture:
        end = time.monotonic() + self._wait_seconds
        answer = self._json("POST", "generate", json=order.payload())
        while answer.get("status") in ("queued", "running"):
            if time.monotonic() > end:
                raise DrawError("model_timeout")
            time.sleep(POLL_SECONDS)
            answer = self._json("GET", f"jobs/{answer['id']}")
        if answer.get("error"):
            raise to_error(answer["error"])
        return to_picture(answer) if answer.get("generated_images") else self._fetched(answer)

    def _fetched(self, answer: dict[str, Any]) -> Picture:
        """By link; one to another host, such as S3, must not see the key."""
        try:
            image = answer["images"][0]
            link, seed = str(image["url"]), int(image["seed"])
            data = self._bytes(link)
            return Picture(data, media_type(data), seed, warnings_of(answer))
        except (KeyError, IndexError, TypeError, ValueError):
            raise DrawError("model_bad_response") from None

    def _bytes(self, link: str) -> bytes:
        try:
            response = httpx.get(link, timeout=TIMEOUT) if "://" in link else self._http.get(link)
            return response.raise_for_status().content
        except httpx.HTTPError:
            raise DrawError("upstream_unreachable") from None

    def _json(self, method: str, path: str, json: Any = None) -> dict[str, Any]:
        try:
            response = self._http.request(method, path, json=json)
            answer = response.json()
        except httpx.TimeoutException:
            raise DrawError("model_timeout") from None
        except httpx.HTTPError:
            raise DrawError("upstream_unreachable") from None
        except ValueError:
            raise DrawError("wrong_address") from None
        if not isinstance(answer, dict):
            raise DrawError("wrong_address")
        if response.is_error:
            raise problem_of(answer, response.status_code)
        return answer


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def problem_of(told: dict[str, Any], status: int) -> DrawError:
    """The API's problem+json as ours: a refused key and a wrong address are this app's set-up, not the visitor's."""
    code = str(told.get("code", ""))
    if code in KEY_REFUSED or (not code and status in (401, 403)):
        return DrawError("key_refused")
    if code in ("", "not_found", "method_not_allowed"):
        return DrawError("throttled" if status == 429 else "wrong_address")
    fields = [FIELDS.get(str(p.get("name")), "") for p in told.get("invalid_params") or ()]
    words = " ".join(str(told[name]) for name in ("detail", "hint") if told.get(name))
    return DrawError(code, words, field=fields[0] if fields else "", status=STATUS.get(code, status))
