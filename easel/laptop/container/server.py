"""The local model container: one process that serves one release folder as the cloud's serving toolkit does.

    python -m easel.laptop.container.server --model-dir DIR [--code-dir DIR/code] [--port 8080]

GET /ping           200 once the model is loaded and as long as it says that it is healthy, else 503
POST /invocations   input_fn, predict_fn, output_fn, one call at a time; an exception is status 400
GET /progress       {"inference_id", "step", "steps", "preview"} of the running call, or nulls
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import inspect
import json
import os
import queue
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType, ModuleType, SimpleNamespace
from typing import Any, ClassVar

HOST = "127.0.0.1"
MAX_BODY_BYTES = 6_291_456
"""What SageMaker's InvokeEndpoint takes. The contract's own limit is far below and answered as data."""
SLOW_CLIENT_SECONDS = 30
INFERENCE_ID = "X-Amzn-SageMaker-Inference-Id"
_JSON = "application/json"


@dataclass
class Call:
    """One request on its way through the model, and the answer once it is there."""

    inference_id: str | None
    body: bytes
    content_type: str
    accept: str
    status: int = 0
    answer: str = ""
    finished: threading.Event = field(default_factory=threading.Event)


class Container:
    """The model, the calls that wait for it, and how far the running one is. The model lives in one thread."""

    def __init__(self) -> None:
        self.calls: queue.SimpleQueue[Call] = queue.SimpleQueue()
        self._model: Any = None
        self._progress: dict[str, Any] = {}

    @property
    def healthy(self) -> bool:
        return self._model is not None and getattr(self._model, "healthy", True)

    def progress(self) -> dict[str, Any]:
        return dict.fromkeys(("inference_id", "step", "steps", "preview")) | self._progress

    def run(self, code: ModuleType, model_dir: Path) -> None:
        """Loads the model and answers calls for ever. Raises the reason where the model is refused."""
        loaded = code.model_fn(str(model_dir))
        if isinstance(loaded, Exception):
            raise loaded
        self._model = loaded
        while True:
            call = self.calls.get()
            started = time.monotonic()
            self._progress = {"inference_id": call.inference_id}
            self._model.on_step = lambda step, steps: self._tell(step=step, steps=steps)
            self._model.on_preview = lambda preview: self._tell(preview=preview)
            self._answer(code, call)
            self._progress = {}
            _log("call", inference_id=call.inference_id, status=call.status, seconds=time.monotonic() - started)
            call.finished.set()

    def _tell(self, **news: Any) -> None:
        """A new object, so that a reader sees one state or the next."""
        self._progress = self._progress | news

    def _answer(self, code: ModuleType, call: Call) -> None:
        try:
            body = call.body.decode("utf-8") if call.content_type == _JSON else call.body
            data = code.input_fn(body, call.content_type, *self._context(code, call))
            call.answer = code.output_fn(code.predict_fn(data, self._model), call.accept)
            call.status = 200
        except Exception as error:
            told = {"code": 400, "type": "InternalServerException", "message": str(error)}
            call.status, call.answer = 400, json.dumps(told)

    @staticmethod
    def _context(code: ModuleType, call: Call) -> list[Any]:
        """The serving toolkit's context, as far as Easel reads it, for a function that takes one."""
        if len(inspect.signature(code.input_fn).parameters) < 3:
            return []
        headers = {INFERENCE_ID: call.inference_id} if call.inference_id else {}
        return [SimpleNamespace(request_processor=[SimpleNamespace(get_request_properties=lambda: headers)])]


class Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 on loopback. `container` is set by `serve`."""

    container: ClassVar[Container]
    protocol_version = "HTTP/1.1"
    timeout = SLOW_CLIENT_SECONDS
    wbufsize = -1  # head and body in one packet: two would wait for each other

    def do_GET(self) -> None:
        if self.path == "/ping":
            self._send(200 if self.container.healthy else 503, "")
        elif self.path == "/progress":
            self._send(200, json.dumps(self.container.progress()))
        else:
            self._send(404, "")

    def do_POST(self) -> None:
        body = self._body()
        if body is None:
            return
        if self.path != "/invocations":
            self._send(404, "")
            return
        accept = self.headers.get("Accept", _JSON)
        call = Call(
            inference_id=self.headers.get(INFERENCE_ID),
            body=body,
            content_type=self.headers.get("Content-Type", ""),
            accept=_JSON if accept == "*/*" else accept,
        )
        self.container.calls.put(call)
        call.finished.wait()
        self._send(call.status, call.answer)

    def _body(self) -> bytes | None:
        """None: refused, and the connection closes because the rest of the body is unread."""
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not length.isdecimal():
            self.close_connection = True
            self._send(411, "")
            return None
        if int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            self._send(413, "")
            return None
        return self.rfile.read(int(length))

    def _send(self, status: int, answer: str) -> None:
        body = answer.encode("utf-8")
        self.send_response(status)
        self.send_header("Content-Type", _JSON)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Calls are logged once, by the container; pings are not worth a line."""


class Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left before its answer is worth one line and no traceback."""
        _log("connection_failed", error=repr(sys.exc_info()[1]))


def main() -> None:
    asked = _arguments()
    _end_with_signals_and_parent()
    # Threads that spin at OpenMP's barriers make a small model ten times slower where cores are shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    container = Container()
    server = Server((HOST, asked.port), type("BoundHandler", (Handler,), {"container": container}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _log("serving", port=server.server_port)
    sys.path.insert(0, str(asked.code_dir or asked.model_dir / "code"))
    container.run(importlib.import_module("inference"), asked.model_dir)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="easel.laptop.container.server")
    default_dir = os.environ.get("SM_MODEL_DIR", "/opt/ml/model")
    parser.add_argument("--model-dir", type=Path, default=Path(default_dir))
    parser.add_argument("--code-dir", type=Path)
    parser.add_argument("--port", type=int, default=int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")))
    return parser.parse_args()


def _end_with_signals_and_parent() -> None:
    """At once and with status 0: nothing here is worth saving, and native threads may be in the midst of a step."""

    def end(signum: int, frame: FrameType | None) -> None:
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    threading.Thread(target=_watch_parent, args=(os.getppid(),), daemon=True).start()


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


def _log(event: str, **facts: Any) -> None:
    with contextlib.suppress(OSError):  # a full disk under the log is no reason to stop drawing
        print(json.dumps({"event": event, **facts}), flush=True)


if __name__ == "__main__":
    main()
