"""The Python part of the image's server, without the Java part: loads a release and responds to messages.

    python worker.py RELEASE REQUESTS RESPONSES

REQUESTS: a JSON list of [InferenceId, content type, body]; RESPONSES: of [status, content type, body]. Bodies are bytes
as Latin-1.
"""

from __future__ import annotations

import io
import json
import struct
import sys
from pathlib import Path
from typing import Any

from mms.model_loader import ModelLoaderFactory

HANDLER = "sagemaker_huggingface_inference_toolkit.handler_service"
"""The handler that the image's `serve` sets."""


def main() -> None:
    release, requests, responses = sys.argv[1:]
    service = ModelLoaderFactory.get_model_loader(release).load("model", release, HANDLER, 0, 1)
    received = [_parse(service.predict([_frame(*request)])) for request in json.loads(Path(requests).read_text())]
    Path(responses).write_text(json.dumps(received))


def _frame(inference_id: str, content_type: str, body: str) -> dict[str, Any]:
    """Return a request as the server's `retrieve_msg` reads it from the socket."""
    headers = {"Content-Type": content_type, "X-Amzn-SageMaker-Inference-Id": inference_id}
    return {
        "requestId": b"1",
        "headers": [{"name": name.encode(), "value": value.encode()} for name, value in headers.items()],
        "parameters": [{"name": "body", "contentType": content_type, "value": bytearray(body, "latin-1")}],
    }


def _parse(frame: bytes) -> tuple[int, str, str]:
    """Parse what the server's `create_predict_response` writes: lengths are big-endian and have four bytes."""
    stream = io.BytesIO(frame)

    def number() -> int:
        return int(struct.unpack("!i", stream.read(4))[0])

    def text() -> str:
        return stream.read(number()).decode("latin-1")

    number(), text(), text()  # status and message of the batch, id of its only request
    content_type, status, _ = text(), number(), text()
    for _ in range(number()):
        text(), text()
    return status, content_type, text()


if __name__ == "__main__":
    main()
