"""Streams of OpenAI's image API, with previews while the model generates. The API's function responds as a whole."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

from contract import EaselError
from easel.laptop.gateway.events import Event

PATHS = re.compile("/v1/images/(generations|edits)")
POLL_SECONDS = 0.25
HEARTBEAT_SECONDS = 10.0
ENDED = ("succeeded", "failed", "cancelled")

FunctionCall = Callable[[Event], Awaitable[Any]]
"""Calls the API's function. Raises `too_busy`."""


def may_stream(event: Event, body: bytes) -> bool:
    """Return whether it is a request for images with a field `stream`, of any value."""
    return event["httpMethod"] == "POST" and bool(PATHS.fullmatch(event["path"])) and b"stream" in body


def with_headers(event: Event, **added: str) -> Event:
    """Return the event with more headers. Names are written with `_`."""
    headers = {name.replace("_", "-"): value for name, value in added.items()}
    multiple = {name: [value] for name, value in headers.items()}
    return {
        **event,
        "headers": {**event["headers"], **headers},
        "multiValueHeaders": {**event["multiValueHeaders"], **multiple},
    }


class ImageStream:
    """One request. `start` creates its job; `events` are the stream, if `wanted`; `response` is the whole response."""

    def __init__(self, event: Event, call: FunctionCall) -> None:
        key = event["headers"].get("idempotency-key") or f"stream-{uuid.uuid4().hex}"
        self._event, self._call = with_headers(event, idempotency_key=key), call
        self._edits = event["path"].endswith("/edits")

    async def start(self) -> Any | None:
        """Create the job. Return the function's output if it was refused."""
        output = await self._call(with_headers(self._event, prefer="respond-async"))
        if output["statusCode"] != 202:
            return output
        accepted = json.loads(output["body"])
        self._job, self.wanted, self._count = accepted["id"], accepted["stream"], accepted["partial_images"]
        return None

    async def response(self) -> Any:
        """Return the function's output when the job has ended, or its time to wait is over."""
        return await self._call(self._event)

    async def events(self) -> AsyncIterator[str]:
        """Yield a preview at each of `partial_images` equal parts of the steps, then the images or the error."""
        sent, sent_at = 0, time.monotonic()
        async for job in self._changes():
            if sent < self._count and (preview := self._preview(job["progress"], sent)):
                yield preview
                sent, sent_at = sent + 1, time.monotonic()
            elif time.monotonic() - sent_at > HEARTBEAT_SECONDS:
                sent_at = time.monotonic()
                yield ": heartbeat\n\n"
        output = await self._when_free(self._event)
        yield output["body"] if output["statusCode"] == 200 else f"data: {output['body']}\n\n"

    async def _changes(self) -> AsyncIterator[Any]:
        """Yield the job again and again until it has ended, or cannot be read."""
        event = {
            **self._event,
            "httpMethod": "GET",
            "path": f"/jobs/{self._job}",
            "body": None,
            "isBase64Encoded": False,
        }
        while (output := await self._when_free(event))["statusCode"] == 200:
            job = json.loads(output["body"])
            if job["status"] in ENDED:
                return
            yield job
            await asyncio.sleep(POLL_SECONDS)

    async def _when_free(self, event: Event) -> Any:
        while True:
            with suppress(EaselError):
                return await self._call(event)
            await asyncio.sleep(POLL_SECONDS)

    def _preview(self, progress: Any, sent: int) -> str | None:
        if not progress or not progress["preview"]:
            return None
        if progress["step"] * (self._count + 1) < progress["steps"] * (sent + 1):
            return None
        kind = "image_edit.partial_image" if self._edits else "image_generation.partial_image"
        data = {
            "type": kind,
            "b64_json": progress["preview"],
            "partial_image_index": sent,
            "created_at": int(time.time()),
        }
        return f"event: {kind}\ndata: {json.dumps({**data, 'output_format': 'jpeg', 'background': 'opaque'})}\n\n"
