"""A small SageMaker on this machine, for the SDK in the notebook: models, configurations and real-time endpoints.

An endpoint runs the laptop's container server on the folder of its model, whose address begins with `file:`. It listens
on loopback, refuses pages in a browser, and answers an operation that the notebook does not call with an error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import socket
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import boto3
import httpx
from botocore.config import Config

ROOT = Path(__file__).parents[1]
ACCOUNT, REGION = "000000000000", "us-east-1"
KINDS = ("EndpointConfig", "Endpoint", "Model")
INVOKE_SECONDS = 600


class RefusedError(Exception):
    """A request that is refused, as ValidationException."""


class LocalSession(boto3.Session):  # type: ignore[misc]
    """A session whose clients send to `url`, whatever proxy the environment names."""

    def __init__(self, url: str) -> None:
        super().__init__("local", "local", region_name=REGION)
        self._url = url

    def client(self, name: str, *args: Any, config: Config | None = None, **options: Any) -> Any:
        direct = Config(proxies={})
        options["config"] = config.merge(direct) if config else direct
        return super().client(name, *args, endpoint_url=self._url, **options)


class LocalSageMaker:
    """The server at `url`. `session` reaches it; `close` ends it and every container."""

    def __init__(self) -> None:
        self._resources: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in KINDS}
        self._containers: dict[str, tuple[subprocess.Popen[bytes], str]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"sagemaker": self}))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.session = LocalSession(self.url)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        for name in list(self._containers):
            self._stop(name)

    def call(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Run an operation, such as CreateModel. Raises RefusedError."""
        for verb in ("Create", "Describe", "Delete", "List"):
            for kind in KINDS:
                if operation == verb + kind + "s" * (verb == "List"):
                    response: dict[str, Any] = getattr(self, f"_{verb.lower()}")(kind, parameters)
                    return response
        raise RefusedError(f"{operation} is not available on this machine")

    def _create(self, kind: str, parameters: dict[str, Any]) -> dict[str, Any]:
        name = parameters[f"{kind}Name"]
        if name in self._resources[kind]:
            raise RefusedError(f"Cannot create already existing {kind} {name}")
        arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{kind.lower()}/{name}"
        if kind == "Endpoint":
            self._containers[name] = self._start(parameters["EndpointConfigName"])
        created = time.time()
        record = {**parameters, f"{kind}Arn": arn, "CreationTime": created, "LastModifiedTime": created}
        self._resources[kind][name] = record
        return {f"{kind}Arn": arn}

    def _start(self, config: str) -> tuple[subprocess.Popen[bytes], str]:
        (variant,) = self._find("EndpointConfig", config)["ProductionVariants"]
        container = self._find("Model", variant["ModelName"])["PrimaryContainer"]
        source = urlsplit(container["ModelDataSource"]["S3DataSource"]["S3Uri"])
        if source.scheme != "file":
            raise RefusedError("On this machine the address of a model begins with file:")
        with socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = ("--model-dir", url2pathname(source.path), "--port", str(port))
        process = subprocess.Popen(
            [sys.executable, "-m", "easel.laptop.container.server", *options],
            cwd=ROOT, env=os.environ | container.get("Environment", {}), stdout=subprocess.DEVNULL,
        )  # fmt: skip
        return process, f"http://127.0.0.1:{port}"

    def _describe(self, kind: str, parameters: dict[str, Any]) -> dict[str, Any]:
        name = parameters[f"{kind}Name"]
        return {**self._find(kind, name), **({"EndpointStatus": self._status(name)} if kind == "Endpoint" else {})}

    def _delete(self, kind: str, parameters: dict[str, Any]) -> dict[str, Any]:
        name = parameters[f"{kind}Name"]
        self._find(kind, name)
        if kind == "Endpoint":
            self._stop(name)
        del self._resources[kind][name]
        return {}

    def _list(self, kind: str, parameters: dict[str, Any]) -> dict[str, Any]:
        names = [name for name in self._resources[kind] if parameters.get("NameContains", "") in name]
        return {f"{kind}s": [self._describe(kind, {f"{kind}Name": name}) for name in names]}

    def _find(self, kind: str, name: str) -> dict[str, Any]:
        try:
            return self._resources[kind][name]
        except KeyError:
            raise RefusedError(f'Could not find {kind} "{name}".') from None

    def _status(self, name: str) -> str:
        process, url = self._containers[name]
        try:
            return "InService" if httpx.get(f"{url}/ping", trust_env=False).status_code == 200 else "Creating"
        except httpx.TransportError:
            return "Creating" if process.poll() is None else "Failed"

    def _stop(self, name: str) -> None:
        process, _ = self._containers.pop(name)
        process.terminate()
        process.wait()

    def invoke(self, name: str, body: bytes, content_type: str) -> httpx.Response:
        """Send a body to the container of an endpoint. Raises RefusedError."""
        self._find("Endpoint", name)
        headers = {"content-type": content_type}
        url = f"{self._containers[name][1]}/invocations"
        return httpx.post(url, content=body, headers=headers, timeout=INVOKE_SECONDS, trust_env=False)


class _Handler(BaseHTTPRequestHandler):
    """`POST /` with X-Amz-Target is an operation, `POST /endpoints/NAME/invocations` an invocation."""

    sagemaker: LocalSageMaker
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if "origin" in self.headers or self.headers["host"] != urlsplit(self.sagemaker.url).netloc:
            return self._send(403, b"{}")
        try:
            match self.path.split("/"):
                case ["", "endpoints", name, "invocations"]:
                    response = self.sagemaker.invoke(name, body, self.headers["content-type"])
                    self._send(response.status_code, response.content)
                case _:
                    operation = self.headers.get("x-amz-target", "").removeprefix("SageMaker.")
                    self._send(200, json.dumps(self.sagemaker.call(operation, json.loads(body))).encode())
        except RefusedError as refusal:
            self._send(400, json.dumps({"__type": "ValidationException", "message": str(refusal)}).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Print nothing into the notebook."""
