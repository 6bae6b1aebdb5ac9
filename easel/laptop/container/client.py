"""HTTP client of the container on this machine."""

from __future__ import annotations

import errno
import http.client
import json
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from contract import DEADLINE_MS, EaselError
from easel.laptop.settings import SECRET_HEADER
from jobs.ports import Ticket

STATE_SECONDS = 0.5
"""Timeout of `ping` and `progress`."""
CANCEL_SECONDS = 5.0
"""Timeout of `cancel`."""
_INFERENCE_ID = "x-amzn-sagemaker-inference-id"
GRACE_SECONDS = 30.0
"""Time after a job's deadline, which the container keeps itself, until the container counts as stuck."""
_SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL}
"""Errors of this machine, which say nothing about the container."""


class ContainerDiedError(Exception):
    """Raised when the connection breaks before the response."""


class ContainerClient:
    """Predictor of lambda/jobs/ports.py that also reads the container's state."""

    def __init__(self, port: int, secret: str) -> None:
        self.port, self._secret = port, {SECRET_HEADER: secret}

    def ping(self) -> int | None:
        """Return 200 if the model is loaded and healthy, 503 if not, None without a response from a busy machine."""
        return self._get("/ping")[0]

    def uses_one_thread(self) -> bool | None:
        """Return whether the loaded model leaves all cores but one to others, None without a response."""
        status, body = self._get("/ping")
        return bool(json.loads(body or b"{}").get("one_thread")) if status == HTTPStatus.OK else None

    def progress(self) -> dict[str, Any]:
        """Return `inference_id`, `step`, `steps` and `preview` of the running request, or an empty dict."""
        status, body = self._get("/progress")
        progress = json.loads(body) if status == HTTPStatus.OK else {}
        return progress if progress.get("steps") else {}

    def cancel(self, ticket: Ticket) -> None:
        """End the job within one step if it runs. Never raises: a container that died does not run it."""
        with suppress(OSError, http.client.HTTPException):
            self._send("POST", "/cancel", b"", {_INFERENCE_ID: ticket.inference_id}, CANCEL_SECONDS)

    def predict(self, ticket: Ticket, body: bytes) -> bytes:
        """Return the container's response to `body`.

        Raises ContainerDiedError, TimeoutError if the container is stuck, EaselError for a status other than 200, and
        OSError if this machine is out of files, memory or ports for the moment.
        """
        headers = {"content-type": "application/json", _INFERENCE_ID: ticket.inference_id}
        seconds = json.loads(body).get("deadline_ms", DEADLINE_MS.maximum) / 1000 + GRACE_SECONDS
        try:
            status, response = self._send("POST", "/invocations", body, headers, seconds)
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno in _SHORTAGES:
                raise
            raise ContainerDiedError from error
        if status != HTTPStatus.OK:
            raise EaselError("model_error", f"the model responded with status {status}", hint="Read the model's log.")
        return response

    def _get(self, path: str) -> tuple[int | None, bytes]:
        try:
            return self._send("GET", path, b"", {}, STATE_SECONDS)
        except (OSError, http.client.HTTPException):
            return None, b""

    def _send(self, method: str, path: str, body: bytes, headers: dict[str, str], seconds: float) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            connection.request(method, path, body or None, headers | self._secret)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()
