"""SageMaker and autoscaling behind the server, with a serving program and S3 in memory."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

from tests.deploy.emulator.aws_api.http_server import Router
from tests.deploy.emulator.aws_api.service import ACCOUNT, REGION, Service
from tests.deploy.emulator.sagemaker.control_plane import SageMaker
from tests.deploy.emulator.sagemaker.endpoint import StateHold
from tests.deploy.emulator.sagemaker.runtime import Runtime
from tests.deploy.emulator.services.autoscaling import AutoScaling
from tests.deploy.emulator_tests.server import ROLE, EmulatorServer, Roles

PROGRAM = """
import http.server, json, os, pathlib, sys, time
folder, port = pathlib.Path(sys.argv[1]), int(sys.argv[2])
behaviour = json.loads((folder / "code" / "behaviour.json").read_text())
if behaviour.get("exit"): raise SystemExit("cannot start")
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self): self.send(200, b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if body == b"die": os._exit(1)
        while "until" in behaviour and not pathlib.Path(behaviour["until"]).exists(): time.sleep(0.02)
        self.send(behaviour.get("status", 200), self.headers.get("x-amzn-sagemaker-inference-id", "").encode() + body)
    def send(self, status, body):
        self.send_response(status); self.send_header("content-length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
"""Returns the inference id and the body. behaviour.json of the model sets `exit`, `status` and `until`, a path.

It responds when there is a file.
"""
SOURCE = {"S3Uri": "s3://store/releases/1/", "S3DataType": "S3Prefix", "CompressionType": "None"}
BEHAVIOUR = "releases/1/code/behaviour.json"


class MemoryClients:
    """The operations of S3, SNS and CloudWatch that an endpoint needs, in memory. `logged` has lines by log group."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.published: list[tuple[str, dict[str, Any]]] = []
        self.active_alarms: set[str] = set()
        self.logged: dict[str, list[str]] = {}

    def client(self, _: str) -> "MemoryClients":
        return self

    def get_paginator(self, _: str) -> Any:
        return SimpleNamespace(paginate=self.pages)

    def pages(self, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        yield {"Contents": [{"Key": key} for key in self.objects if key.startswith(Prefix)]}

    def download_file(self, bucket: str, key: str, path: str) -> None:
        Path(path).write_bytes(self.objects[key])

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        if Key not in self.objects:
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": "The key does not exist."}}, "GetObject")
        return {"Body": SimpleNamespace(read=lambda: self.objects[Key])}

    def put_object(self, Bucket: str, Key: str, Body: bytes, ContentType: str) -> None:  # noqa: N803
        self.objects[Key] = Body

    def publish(self, TopicArn: str, Message: str) -> None:  # noqa: N803
        self.published.append((TopicArn.rsplit(":", 1)[-1], json.loads(Message)))

    def create_log_stream(self, logGroupName: str, logStreamName: str) -> None:  # noqa: N803
        self.logged.setdefault(logGroupName, [])

    def put_log_events(self, logGroupName: str, logStreamName: str, logEvents: list[Any]) -> None:  # noqa: N803
        self.logged[logGroupName] += [event["message"] for event in logEvents]

    def describe_alarms(self, AlarmNames: list[str]) -> dict[str, Any]:  # noqa: N803
        states = {True: "ALARM", False: "OK"}
        alarms = [{"AlarmName": name, "StateValue": states[name in self.active_alarms]} for name in AlarmNames]
        return {"MetricAlarms": alarms}


class SageMakerSetup:
    """A new SageMaker. `now` is the runtime's clock, `counted` the metrics of failed invocations."""

    def __init__(self, server: EmulatorServer, folder: Path) -> None:
        self.store, self.now = MemoryClients(), time.time()
        self.roles, self.counted = Roles(self.store), list[str]()
        self.folder, self.server = folder, server
        program = (sys.executable, "-c", PROGRAM, "{model_dir}", "{port}")
        self.control = SageMaker(
            program,
            self.roles.assume,
            self.roles.check,
            StateHold(folder),
            lambda metric, _: self.counted.append(metric),
        )
        runtime = Runtime(self.control.endpoints, lambda: self.now)
        self.auto_scaling = AutoScaling(self.control.endpoints, runtime.backlog, folder / "Scaling")
        services = [Service("sagemaker", self.control), Service("application-autoscaling", self.auto_scaling)]
        server.router = Router(Service("sagemaker-runtime", runtime), services, self.roles.authorize)
        self.error = server.error
        self.sagemaker, self.runtime, self.scaling = server.clients.values()

    @contextmanager
    def hold(self, status: str, text: str = "") -> Iterator[None]:
        (self.folder / status).write_text(text)
        yield
        (self.folder / status).unlink()

    @property
    def status(self) -> str:
        return str(self.sagemaker.describe_endpoint(EndpointName="Endpoint")["EndpointStatus"])

    def wait_until_deleted(self) -> None:
        while endpoints := self.sagemaker.list_endpoints()["Endpoints"]:
            assert endpoints[0]["EndpointStatus"] == "Deleting"
            time.sleep(0.05)

    def wait_until_settled(self) -> dict[str, Any]:
        """Return the endpoint's description once it is in service or failed."""
        while True:
            endpoint: dict[str, Any] = self.sagemaker.describe_endpoint(EndpointName="Endpoint")
            if endpoint["EndpointStatus"] not in ("Creating", "Updating"):
                return endpoint
            time.sleep(0.05)

    def set_behaviour(self, **behaviour: Any) -> None:
        self.store.objects[BEHAVIOUR] = json.dumps(behaviour).encode()

    def create_model(self, **environment: str) -> None:
        container = {"Image": "image", "ModelDataSource": {"S3DataSource": SOURCE}, "Environment": environment}
        self.sagemaker.create_model(ModelName="Model", ExecutionRoleArn=ROLE, PrimaryContainer=container)

    def create_config(self, name: str = "Config", asynchronous: bool = False, **more: Any) -> None:
        topics = {topic: f"arn:aws:sns:{REGION}:{ACCOUNT}:{topic}" for topic in ("SuccessTopic", "ErrorTopic")}
        paths = {"S3OutputPath": "s3://store/outputs", "S3FailurePath": "s3://store/failures"}
        variant = {
            "VariantName": "AllTraffic", "ModelName": "Model", "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 1,
        }  # fmt: skip
        if asynchronous:
            more["AsyncInferenceConfig"] = {"OutputConfig": {**paths, "NotificationConfig": topics}}
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant], **more)

    def create_endpoint(self, asynchronous: bool = False, queue: str = "4", **behaviour: Any) -> dict[str, Any]:
        """Create the endpoint `Endpoint` and return its description once it is in service or failed."""
        self.set_behaviour(**behaviour)
        self.create_model(MMS_JOB_QUEUE_SIZE=queue)
        self.create_config(asynchronous=asynchronous)
        self.sagemaker.create_endpoint(EndpointName="Endpoint", EndpointConfigName="Config")
        return self.wait_until_settled()

    def invoke(self, body: bytes = b"x", **more: Any) -> Any:
        """Invoke the endpoint. The response's `Body` is its bytes."""
        response = self.runtime.invoke_endpoint(EndpointName="Endpoint", Body=body, **more)
        return {**response, "Body": response["Body"].read()}

    def invoke_error(self, body: bytes = b"x", endpoint: str = "Endpoint") -> dict[str, Any]:
        return self.error("sagemaker-runtime", "invoke_endpoint", EndpointName=endpoint, Body=body)

    def invoke_async(self, body: bytes, **more: Any) -> dict[str, Any]:
        self.store.objects["jobs/1/request.json"] = body
        parameters = {"InputLocation": "s3://store/jobs/1/request.json", "InferenceId": "owner-1", **more}
        response: dict[str, Any] = self.runtime.invoke_endpoint_async(EndpointName="Endpoint", **parameters)
        return response

    def notification(self) -> tuple[str, dict[str, Any]]:
        """Return topic and message of the next notification."""
        end = time.monotonic() + 60
        while not self.store.published and time.monotonic() < end:
            time.sleep(0.05)
        return self.store.published.pop()
