"""HTTP to the container on this machine."""

from __future__ import annotations

import http.client
import json
from http import HTTPStatus
from typing import Any

from contract import DEADLINE_MS, EaselError
from jobs.ports import Ticket

LOOK_SECONDS = 0.5
GRACE_SECONDS = 30.0
"""The container keeps a job's deadline by itself; after so much more it is taken for stuck."""


class ContainerDiedError(Exception):
    """The connection broke before the answer was there."""


class ContainerClient:
    """A predictor of lambda/jobs/ports.py, and looks at how the container is doing."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ping(self) -> int | None:
        """200: the model is loaded and healthy; 503: it is not; None: no answer, which a busy machine may mean."""
        return self._look("/ping")[0]

    def progress(self) -> dict[str, Any]:
        """`inference_id`, `step` and `steps` of the running call, where there is one."""
        status, body = self._look("/progress")
        told = json.loads(body) if status == HTTPStatus.OK else {}
        return told if told.get("steps") else {}

    def predict(self, ticket: Ticket, body: bytes) -> bytes:
        """Raises ContainerDiedError, TimeoutError where it is stuck, or EaselError for an answer that is none."""
        headers = {"content-type": "application/json", "x-amzn-sagemaker-inference-id": ticket.inference_id}
        seconds = json.loads(body).get("deadline_ms", DEADLINE_MS.maximum) / 1000 + GRACE_SECONDS
        try:
            status, answer = self._send("POST", "/invocations", body, headers, seconds)
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise ContainerDiedError from error
        if status != HTTPStatus.OK:
            raise EaselError("model_error", f"the model answered with status {status}", hint="Look into its log.")
        return answer

    def _look(self, path: str) -> tuple[int | None, bytes]:
        try:
            return self._send("GET", path, b"", {}, LOOK_SECONDS)
        except (OSError, http.client.HTTPException):
            return None, b""

    def _send(self, method: str, path: str, body: bytes, headers: dict[str, str], seconds: float) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()
