"""The endpoint of lambda/ports.py on one machine: a queue folder before one container."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable

from easel.queue import Queue
from ports import EndpointState, Progress, Submission, Ticket

ASK_SECONDS = 0.5
STATE_SECONDS = 1.0
"""How long one look at the container's state is good for."""


class LaptopEndpoint:
    """Puts jobs into the queue, tells the dispatcher, and asks the container how far it is."""

    tells_start = True

    def __init__(self, queue: Queue, port: int, on_submit: Callable[[], None]) -> None:
        self._queue, self._port, self._on_submit = queue, port, on_submit
        self._seen, self._ready = -STATE_SECONDS, False

    def submit(self, ticket: Ticket) -> Submission:
        self._queue.put(ticket)
        self._on_submit()
        return Submission()

    def progress(self, ticket: Ticket) -> Progress | None:
        try:
            told = json.loads(self._ask("/progress") or "{}")
            if told.get("inference_id") == ticket.inference_id and told["steps"]:
                return Progress(step=told["step"], steps=told["steps"])
        except (ValueError, KeyError, AttributeError):
            pass
        return None

    def state(self) -> EndpointState:
        if time.monotonic() - self._seen > STATE_SECONDS:
            self._seen, self._ready = time.monotonic(), self._ask("/ping") is not None
        return EndpointState("ready") if self._ready else EndpointState("starting", "The model is loading.")

    def _ask(self, path: str) -> bytes | None:
        """What the container answers with status 200, else None."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=ASK_SECONDS)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            return body if response.status == 200 else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
