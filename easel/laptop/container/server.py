"""The local model container: serves one release folder by the HTTP interface of the cloud's serving toolkit.

    python -m easel.laptop.container.server --model-dir DIR [--code-dir DIR/code] [--port 8080]

GET /ping           200 and {"one_thread"} while the model is loaded and healthy, else 503
POST /invocations   input_fn, predict_fn, output_fn, one request at a time; an exception becomes status 400
GET /progress       {"inference_id", "step", "steps", "preview"} of the running request, or nulls
POST /cancel        ends the request of the header's inference id, within one step if it runs

Pages in a browser are refused: no Origin, and only a Host of this machine. With EASEL_CONTAINER_SECRET in the
environment, every request must send it as x-easel-secret.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import hmac
import importlib
import inspect
import json
import os
import queue
import signal
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType, ModuleType, SimpleNamespace
from typing import Any, ClassVar
from urllib.parse import urlsplit

from easel.console.hosts import LOOPBACK
from easel.laptop.settings import SECRET_HEADER, SECRET_VARIABLE

HOST = "127.0.0.1"
MAX_BODY_BYTES = 6_291_456
"""Largest body of SageMaker's InvokeEndpoint. The contract's own limit is lower."""
SLOW_CLIENT_SECONDS = 30
INFERENCE_ID = "X-Amzn-SageMaker-Inference-Id"
MAX_CANCELLED = 100
"""Cancelled inference ids that are kept. As many jobs can wait."""
_JSON = "application/json"


@dataclass
class Invocation:
    """One request to the model, and its response after `finished` is set."""

    inference_id: str | None
    headers: dict[str, str]
    body: bytes
    content_type: str
    accept: str
    status: int = 0
    response: str = ""
    finished: threading.Event = field(default_factory=threading.Event)


class Container:
    """The model, its waiting requests and the progress of the running request. The model lives in one thread."""

    def __init__(self) -> None:
        self.waiting: queue.SimpleQueue[Invocation] = queue.SimpleQueue()
        self._model: Any = None
        self._progress: dict[str, Any] = {}
        self._cancelled: deque[str | None] = deque(maxlen=MAX_CANCELLED)

    def cancel(self, inference_id: str | None) -> None:
        """End the request within one step if it runs, and before its first step if it comes later."""
        self._cancelled.append(inference_id)

    @property
    def healthy(self) -> bool:
        return self._model is not None and getattr(self._model, "healthy", True)

    @property
    def one_thread(self) -> bool:
        """Whether the model leaves all cores but one to other processes."""
        return getattr(self._model, "one_thread", False)

    def progress(self) -> dict[str, Any]:
        return dict.fromkeys(("inference_id", "step", "steps", "preview")) | self._progress

    def run(self, code: ModuleType, model_dir: Path) -> None:
        """Load the model, then serve requests for ever. If it does not load, end with the reason as the last line."""
        loaded = code.model_fn(str(model_dir))
        if isinstance(loaded, Exception):
            sys.exit(_reason(loaded))
        self._model = loaded
        while True:
            invocation = self.waiting.get()
            started = time.monotonic()
            self._progress = {"inference_id": invocation.inference_id}
            self._model.is_cancelled = lambda id=invocation.inference_id: id in self._cancelled
            self._model.on_step = lambda step, steps: self._update_progress(step=step, steps=steps)
            self._model.on_preview = lambda preview: self._update_progress(preview=preview)
            self._invoke(code, invocation)
            self._progress = {}
            seconds = time.monotonic() - started
            _log("invocation", inference_id=invocation.inference_id, status=invocation.status, seconds=seconds)
            invocation.finished.set()

    def _update_progress(self, **changes: Any) -> None:
        """Replace the progress by a new object, so that other threads never read half of a change."""
        self._progress = self._progress | changes

    def _invoke(self, code: ModuleType, invocation: Invocation) -> None:
        try:
            body = invocation.body.decode("utf-8") if invocation.content_type == _JSON else invocation.body
            data = code.input_fn(body, invocation.content_type, *self._context(code, invocation))
            invocation.response = code.output_fn(code.predict_fn(data, self._model), invocation.accept)
            invocation.status = 200
        except Exception as error:
            response = {"code": 400, "type": "InternalServerException", "message": str(error)}
            invocation.status, invocation.response = 400, json.dumps(response)

    @staticmethod
    def _context(code: ModuleType, invocation: Invocation) -> list[Any]:
        """Return the part of the serving toolkit's context that Easel reads, if `input_fn` takes a context."""
        if len(inspect.signature(code.input_fn).parameters) < 3:
            return []
        processor = SimpleNamespace(get_request_properties=lambda: invocation.headers)
        return [SimpleNamespace(request_processor=[processor])]


class Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 on loopback. `main` sets `container` and `secret`."""

    container: ClassVar[Container]
    secret: ClassVar[str]
    protocol_version = "HTTP/1.1"
    timeout = SLOW_CLIENT_SECONDS
    wbufsize = -1  # head and body in one packet, since two would be delayed by Nagle's algorithm

    def do_GET(self) -> None:
        if not self._allowed():
            self._send(403, "")
        elif self.path == "/ping":
            self._send(200 if self.container.healthy else 503, json.dumps({"one_thread": self.container.one_thread}))
        elif self.path == "/progress":
            self._send(200, json.dumps(self.container.progress()))
        else:
            self._send(404, "")

    def do_POST(self) -> None:
        if not self._allowed():
            self.close_connection = True
            self._send(403, "")
            return
        body = self._body()
        if body is None:
            return
        if self.path == "/cancel":
            self.container.cancel(self.headers.get(INFERENCE_ID))
            self._send(200, "")
            return
        if self.path != "/invocations":
            self._send(404, "")
            return
        accept = self.headers.get("Accept", _JSON)
        invocation = Invocation(
            inference_id=self.headers.get(INFERENCE_ID),
            headers={name: value for name, value in self.headers.items() if name.lower() != SECRET_HEADER},
            body=body,
            content_type=self.headers.get("Content-Type", ""),
            accept=_JSON if accept == "*/*" else accept,
        )
        self.container.waiting.put(invocation)
        invocation.finished.wait()
        self._send(invocation.status, invocation.response)

    def _allowed(self) -> bool:
        """Return whether the sender is a program of this machine that knows the secret, and no page in a browser."""
        sent = self.headers.get(SECRET_HEADER, "")
        known = not self.secret or hmac.compare_digest(sent.encode(), self.secret.encode())
        with contextlib.suppress(ValueError):
            host = urlsplit(f"//{self.headers.get('Host', HOST)}").hostname
            return known and host in LOOPBACK and "Origin" not in self.headers
        return False

    def _body(self) -> bytes | None:
        """Return the body. Return None after an error response; the connection then closes, its body unread."""
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

    def _send(self, status: int, response: str) -> None:
        body = response.encode("utf-8")
        self.send_response(status)
        self.send_header("Content-Type", _JSON)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing: the container logs each invocation, and pings need no line."""


class Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log a client that closed its connection as one line, without a traceback."""
        _log("connection_failed", error=repr(sys.exc_info()[1]))


def main() -> None:
    arguments = _arguments()
    _end_with_signals_and_parent()
    # Threads that spin at OpenMP's barriers make a small model ten times slower on shared cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    container, secret = Container(), os.environ.pop(SECRET_VARIABLE, "")
    members = {"container": container, "secret": secret}
    server = Server((HOST, arguments.port), type("BoundHandler", (Handler,), members))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _log("serving", port=server.server_port)
    sys.path.insert(0, str(arguments.code_dir or arguments.model_dir / "code"))
    gc.disable()  # collections while PyTorch is imported find nothing
    code = importlib.import_module("inference")
    gc.enable()
    container.run(code, arguments.model_dir)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="easel.laptop.container.server")
    default_dir = os.environ.get("SM_MODEL_DIR", "/opt/ml/model")
    parser.add_argument("--model-dir", type=Path, default=Path(default_dir))
    parser.add_argument("--code-dir", type=Path)
    parser.add_argument("--port", type=int, default=int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")))
    return parser.parse_args()


def _end_with_signals_and_parent() -> None:
    """End at once with status 0 on a signal or the parent's death: there is no state to save."""

    def end(signum: int, frame: FrameType | None) -> None:
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    threading.Thread(target=_watch_parent, args=(os.getppid(),), daemon=True).start()


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


def _reason(error: Exception) -> str:
    """Return what was wrong and, if the error has a hint, what to do."""
    hint = getattr(error, "hint", "")
    return f"{str(error).rstrip('.')}. {hint}" if hint else str(error)


def _log(event: str, **facts: Any) -> None:
    with contextlib.suppress(OSError):  # a full disk stops the log, not the model
        print(json.dumps({"event": event, **facts}), flush=True)


if __name__ == "__main__":
    main()
