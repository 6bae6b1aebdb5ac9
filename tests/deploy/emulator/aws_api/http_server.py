"""HTTP server of the emulated services: AWS JSON 1.1 for the control planes, REST JSON for the SageMaker runtime."""

import json
import re
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from botocore.model import OperationModel, Shape

from ..sagemaker.records import RecordTable
from .service import ACCOUNT, REGION, Parameters, Service, ServiceError

Authorize = Callable[[str, Mapping[str, str], bytes, str, str, Mapping[str, str]], None]
"""Path, headers and body of a request, IAM action, resource ARN, condition keys. Raises ServiceError."""

HttpResponse = tuple[int, dict[str, str], bytes]
"""Status, headers, body."""

IAM_ACTIONS = {"budgets:DescribeBudgets": "budgets:ViewBudget"}
"""Operation to IAM's action, where the names differ."""
TABLES = [
    RecordTable("Endpoint", "endpoint", ""), RecordTable("EndpointConfig", "endpoint-config", ""),
    RecordTable("Model", "model", ""), RecordTable("NotebookInstance", "notebook-instance", ""),
]  # fmt: skip
"""Resource types whose ARN IAM checks."""


class Router:
    """Finds the operation of a request, checks IAM, calls the service and renders its output."""

    def __init__(self, runtime: Service, control_planes: list[Service], authorize: Authorize) -> None:
        self.runtime, self.authorize = runtime, authorize
        self.control_planes = {service.model.metadata["targetPrefix"]: service for service in control_planes}

    def handle(self, path: str, headers: Mapping[str, str], body: bytes) -> HttpResponse:
        if "x-amz-target" in headers:
            return self._handle_json(path, headers, body)
        return self._handle_rest(path, headers, body)

    def _handle_json(self, path: str, headers: Mapping[str, str], body: bytes) -> HttpResponse:
        try:
            prefix, _, name = headers["x-amz-target"].partition(".")
            if prefix not in self.control_planes:
                raise ServiceError("UnknownOperationException", headers["x-amz-target"])
            service = self.control_planes[prefix]
            service.operation(name)
            parameters = json.loads(body or b"{}")
            action = f"{service.model.signing_name}:{name}"
            self._authorize(path, headers, body, IAM_ACTIONS.get(action, action), parameters)
            output = service.call(name, parameters)
        except ServiceError as error:
            return 400, JSON_11, json.dumps({"__type": error.code, "message": error.message}).encode()
        return 200, JSON_11, json.dumps(output).encode()

    def _handle_rest(self, path: str, headers: Mapping[str, str], body: bytes) -> HttpResponse:
        try:
            operation, parameters = self._parse_rest(path, headers, body)
            action = f"{self.runtime.model.signing_name}:{operation.name}"
            self._authorize(path, headers, body, action, parameters)
            return render_output(operation, self.runtime.call(operation.name, parameters))
        except ServiceError as error:
            content = {"Message": error.message, **error.members}
            error_type = "ValidationError" if error.code == "ValidationException" else error.code
            return self._error_status(error_type), {"x-amzn-errortype": error_type}, json.dumps(content).encode()

    def _authorize(
        self, path: str, headers: Mapping[str, str], body: bytes, action: str, parameters: Parameters
    ) -> None:
        for arn in resource_arns(parameters):
            self.authorize(path, headers, body, action, arn, condition_keys(parameters))

    def _parse_rest(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[OperationModel, Parameters]:
        for name in self.runtime.model.operation_names:
            operation = self.runtime.model.operation_model(name)
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", operation.http["requestUri"])
            if match := re.fullmatch(pattern, path):
                return self.runtime.operation(name), parse_input(operation, match.groupdict(), headers, body)
        raise ServiceError("UnknownOperationException", path)

    def _error_status(self, code: str) -> int:
        shapes = {shape.name: shape for shape in self.runtime.model.error_shapes}
        if code in shapes:
            return int(shapes[code].metadata["error"]["httpStatusCode"])
        return 404 if code == "UnknownOperationException" else 403


JSON_11 = {"content-type": "application/x-amz-json-1.1"}


def resource_arns(parameters: Parameters) -> list[str]:
    """Return the ARNs of the resources that a request names, else `*`. AWS authorizes an action on each of them."""
    arns = [table.arn(parameters[f"{table.prefix}Name"]) for table in TABLES if f"{table.prefix}Name" in parameters]
    if "ScalableDimension" in parameters:
        arns = [f"arn:aws:application-autoscaling:{REGION}:{ACCOUNT}:scalable-target/0123456789ab"]
    return arns or ["*"]


def condition_keys(parameters: Parameters) -> dict[str, str]:
    """Return the condition keys of a request that policies of Easel use."""
    namespace = parameters.get("ServiceNamespace")
    return {"application-autoscaling:service-namespace": namespace} if namespace else {}


def parse_input(
    operation: OperationModel, path: Mapping[str, str], headers: Mapping[str, str], body: bytes
) -> Parameters:
    """Return the parameters of a REST JSON request whose payload, if any, is a blob."""
    shape = operation.input_shape
    parameters: Parameters = dict(path)
    for name, member in shape.members.items():
        if member.serialization.get("location") == "header" and member.serialization["name"] in headers:
            parameters[name] = _parse_header(member, headers[member.serialization["name"]])
    if body and "payload" in shape.serialization:
        parameters[shape.serialization["payload"]] = body
    return parameters


def _parse_header(member: Shape, text: str) -> str | int:
    return int(text) if member.type_name == "integer" else text


def render_output(operation: OperationModel, output: Parameters) -> HttpResponse:
    """Return the REST JSON response of an operation."""
    shape = operation.output_shape
    payload = shape.serialization.get("payload")
    places = {name: member.serialization for name, member in shape.members.items() if name in output}
    headers = {place["name"]: str(output[name]) for name, place in places.items() if place.get("location") == "header"}
    rest = {name: output[name] for name, place in places.items() if "location" not in place and name != payload}
    body = output[payload] if payload else json.dumps(rest).encode()
    return operation.http.get("responseCode", 200), headers, body


def serve(router: Router, port: int) -> ThreadingHTTPServer:
    """Listen on loopback until the process ends. Port 0 takes a free port."""

    class RequestHandler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            status, headers, content = router.handle(self.path, self.headers, body)  # type: ignore[arg-type]
            self.send_response(status)
            for name, value in {"content-type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Write nothing: the emulator's own log is enough."""

    server = ThreadingHTTPServer(("127.0.0.1", port), RequestHandler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
