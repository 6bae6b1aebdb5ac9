"""HTTP in front of the services: AWS JSON 1.1 for the control planes, REST JSON for the runtime."""

import json
import re
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from botocore.model import OperationModel, Shape

from .sagemaker import Shelf
from .service import Parameters, Service, ServiceError

Authorize = Callable[[str, Mapping[str, str], bytes, str, str], None]
"""Path, headers and body of a request, IAM action, resource ARN; raises ServiceError."""

Answer = tuple[int, dict[str, str], bytes]

SHELVES = [
    Shelf("Endpoint", "endpoint", ""), Shelf("EndpointConfig", "endpoint-config", ""), Shelf("Model", "model", ""),
    Shelf("NotebookInstance", "notebook-instance", ""),
]  # fmt: skip


class Gateway:
    """Finds the operation of a request, asks IAM, calls the service and renders its answer."""

    def __init__(self, runtime: Service, planes: list[Service], authorize: Authorize) -> None:
        self.runtime, self.authorize = runtime, authorize
        self.planes = {plane.model.metadata["targetPrefix"]: plane for plane in planes}

    def answer(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if "x-amz-target" in headers:
            return self._json(path, headers, body)
        return self._rest(path, headers, body)

    def _json(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        try:
            prefix, _, name = headers["x-amz-target"].partition(".")
            if prefix not in self.planes:
                raise ServiceError("UnknownOperationException", headers["x-amz-target"])
            service = self.planes[prefix]
            service.operation(name)
            parameters = json.loads(body or b"{}")
            self.authorize(path, headers, body, f"{service.model.signing_name}:{name}", resource_of(parameters))
            answer = service.call(name, parameters)
        except ServiceError as error:
            return 400, JSON_11, json.dumps({"__type": error.code, "message": error.message}).encode()
        return 200, JSON_11, json.dumps(answer).encode()

    def _rest(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        try:
            operation, parameters = self._parse_rest(path, headers, body)
            action = f"{self.runtime.model.signing_name}:{operation.name}"
            self.authorize(path, headers, body, action, resource_of(parameters))
            return rendered(operation, self.runtime.call(operation.name, parameters))
        except ServiceError as error:
            told = {"Message": error.message, **error.members}
            kind = "ValidationError" if error.code == "ValidationException" else error.code
            return self._status(kind), {"x-amzn-errortype": kind}, json.dumps(told).encode()

    def _parse_rest(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[OperationModel, Parameters]:
        for name in self.runtime.model.operation_names:
            operation = self.runtime.model.operation_model(name)
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", operation.http["requestUri"])
            if match := re.fullmatch(pattern, path):
                return self.runtime.operation(name), parsed(operation, match.groupdict(), headers, body)
        raise ServiceError("UnknownOperationException", path)

    def _status(self, code: str) -> int:
        shapes = {shape.name: shape for shape in self.runtime.model.error_shapes}
        if code in shapes:
            return int(shapes[code].metadata["error"]["httpStatusCode"])
        return 404 if code == "UnknownOperationException" else 403


JSON_11 = {"content-type": "application/x-amz-json-1.1"}


def resource_of(parameters: Parameters) -> str:
    named = (shelf.arn(parameters[f"{shelf.prefix}Name"]) for shelf in SHELVES if f"{shelf.prefix}Name" in parameters)
    return next(named, "*")


def parsed(operation: OperationModel, path: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> Parameters:
    """The parameters of a REST JSON request whose payload, if any, is a blob."""
    shape = operation.input_shape
    found: Parameters = dict(path)
    for name, member in shape.members.items():
        if member.serialization.get("location") == "header" and member.serialization["name"] in headers:
            found[name] = _typed(member, headers[member.serialization["name"]])
    if body and "payload" in shape.serialization:
        found[shape.serialization["payload"]] = body
    return found


def _typed(member: Shape, text: str) -> str | int:
    return int(text) if member.type_name == "integer" else text


def rendered(operation: OperationModel, answer: Parameters) -> Answer:
    shape = operation.output_shape
    payload = shape.serialization.get("payload")
    places = {name: member.serialization for name, member in shape.members.items() if name in answer}
    headers = {place["name"]: str(answer[name]) for name, place in places.items() if place.get("location") == "header"}
    rest = {name: answer[name] for name, place in places.items() if "location" not in place and name != payload}
    body = answer[payload] if payload else json.dumps(rest).encode()
    return operation.http.get("responseCode", 200), headers, body


def serve(gateway: Gateway, port: int) -> ThreadingHTTPServer:
    """Listens on loopback until the process ends; port 0 takes a free one."""

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            status, headers, content = gateway.answer(self.path, self.headers, body)  # type: ignore[arg-type]
            self.send_response(status)
            for name, value in {"content-type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """The emulator's own log is enough."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Door)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
