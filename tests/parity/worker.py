"""The Python half of the image's server, without the half in Java: loads a release and answers messages.

    python worker.py RELEASE MESSAGES ANSWERS

MESSAGES: a JSON list of [InferenceId, content type, body]; ANSWERS: of [status, content type, body]. Bodies are bytes
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
"""As `serve` of the image tells the server."""


def main() -> None:
    release, asked, answers = sys.argv[1:]
    service = ModelLoaderFactory.get_model_loader(release).load("model", release, HANDLER, 0, 1)
    told = [_read(service.predict([_frame(*message)])) for message in json.loads(Path(asked).read_text())]
    Path(answers).write_text(json.dumps(told))


def _frame(id: str, kind: str, body: str) -> dict[str, Any]:
    """A request as the server's `retrieve_msg` takes it from the socket."""
    headers = {"Content-Type": kind, "X-Amzn-SageMaker-Inference-Id": id}
    return {
        "requestId": b"1",
        "headers": [{"name": name.encode(), "value": value.encode()} for name, value in headers.items()],
        "parameters": [{"name": "body", "contentType": kind, "value": bytearray(body, "latin-1")}],
    }


def _read(frame: bytes) -> tuple[int, str, str]:
    """What the server's `create_predict_response` writes to the socket: lengths are big-endian, of four bytes."""
    stream = io.BytesIO(frame)

    def number() -> int:
        return int(struct.unpack("!i", stream.read(4))[0])

    def text() -> str:
        return stream.read(number()).decode("latin-1")

    number(), text(), text()  # of the whole: status and message; of the one request: its id
    kind, status, _ = text(), number(), text()
    for _ in range(number()):
        text(), text()
    return status, kind, text()


if __name__ == "__main__":
    main()
