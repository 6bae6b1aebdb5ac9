"""The handlers of lambda/ behind a server that plays API Gateway's REST proxy, with `binaryMediaTypes` `*/*`.

S3 and DynamoDB are moto's; links lead to this server. SageMaker's asynchronous endpoint runs
`tests.easel.fake_container`.
"""

from __future__ import annotations

import base64
import json
import queue
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import boto3
import pytest
from moto import mock_aws

from api_keys.authorizer import BASIC_PATHS
from contract import render_profile
from easel.laptop.catalogue import find
from stacks.api.gateway_responses import KEY_RESPONSES, RESPONSES, GatewayError
from tests.easel.fake_container import generate
from tests.easel.running import MODEL

BUCKET, TABLE, KEY = "easel-bucket", "easel-accounts", "function-key"
WAIT_SECONDS, GATEWAY_SECONDS, RETRY_AFTER_S = 2, 4, 1
"""Shorter than in the cloud: 25, 29 and 15."""
INSTANCES = 8
VARIABLES = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "EASEL_AUTH": "key",
    "EASEL_ACCOUNTS": TABLE,
    "EASEL_BUCKET": BUCKET,
    "EASEL_MODE": "async",
    "EASEL_WAIT_SECONDS": str(WAIT_SECONDS),
    "EASEL_DEADLINE_SECONDS": "600",
    "EASEL_JOB_TTL_SECONDS": "3600",
}


class Function:
    """`with Function() as running` serves the API at `url`."""

    name, key = "function", KEY

    def __enter__(self) -> Function:
        self._folder, self._patch, self._aws = TemporaryDirectory(), pytest.MonkeyPatch(), mock_aws()
        self._journal, self._seen = Path(self._folder.name) / "journal", 0
        self._aws.start()
        self.sagemaker, self._server = SageMaker(), _Server(("127.0.0.1", 0), _Gateway)
        self.url = self._server.url
        self._set_variables()
        self._server.files = boto3.client("s3")
        self._server.files.create_bucket(Bucket=BUCKET)
        _create_table()
        self._server.services = self._services()
        for server in (self.sagemaker, self._server):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in (self._server, self.sagemaker):
            server.shutdown()
            server.server_close()
        self._aws.stop()
        self._patch.undo()
        self._folder.cleanup()

    def requests(self) -> list[dict[str, Any]]:
        """Return the requests that the model got since the last call."""
        lines = self._journal.read_text().splitlines() if self._journal.exists() else []
        new, self._seen = lines[self._seen :], len(lines)
        return [json.loads(line) for line in new]

    def sleeping(self, seconds: float) -> None:
        """Let the endpoint have no instance for this long."""
        self.sagemaker.awake_at = time.monotonic() + seconds

    def _set_variables(self) -> None:
        models = [{"profile": json.loads(render_profile(find(MODEL).profile)), "endpoint": "endpoint"}]
        file = Path(self._folder.name) / "models.json"
        file.write_text(json.dumps({"models": models}))
        own = {"EASEL_MODELS": str(file), "FAKE_REQUESTS": str(self._journal)}
        endpoints = {f"AWS_ENDPOINT_URL_{name}": self.sagemaker.url for name in ("SAGEMAKER", "SAGEMAKER_RUNTIME")}
        for name, value in {**VARIABLES, **own, **endpoints}.items():
            self._patch.setenv(name, value)
        self._patch.setattr("aws.endpoints._STATE_SECONDS", 0)
        self._patch.setattr("jobs.retries.LOST_S", WAIT_SECONDS + 1)
        self._patch.setattr("aws.store.BucketStore.link", lambda _, key, seconds: f"{self.url}/files/{key}")
        codes = ("model_loading", "model_busy", "throttled", "too_busy")
        self._patch.setattr("gateway.problem_details._RETRY_AFTER_S", dict.fromkeys(codes, RETRY_AFTER_S))

    def _services(self) -> queue.Queue[Any]:
        """Return instances of the function. Each takes one event at a time, as on Lambda."""
        import handlers
        from gateway.service import Service
        from gateway.telemetry import Telemetry
        from routes.apis import render_error

        def instance() -> Service:
            router = handlers._router.__wrapped__()
            return Service(
                lambda: router,
                auth=lambda: "key",
                steady=handlers._CLOCK.steady,
                telemetry=Telemetry("easel", ""),
                render_error=render_error,
            )

        for cached in (handlers._settings, handlers._store, handlers._accounting):
            cached.cache_clear()
        services: queue.Queue[Any] = queue.Queue()
        for _ in range(INSTANCES):
            services.put(instance())
        return services


def _create_table() -> None:
    kinds = {"owner": "HASH", "item": "RANGE"}
    boto3.client("dynamodb").create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in kinds],
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in kinds.items()],
    )


_ERRORS = {kind.response_type: error for kind, error in {**RESPONSES, **KEY_RESPONSES}.items()}
"""By name: a type of the CDK takes no requests of several threads."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    services: queue.Queue[Any]
    files: Any

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Gateway(BaseHTTPRequestHandler):
    """Authorizes, calls a function's instance, and responds in its place if that takes too long."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server
    pool = ThreadPoolExecutor(INSTANCES)

    def handle_request(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        url = urlsplit(self.path)
        if url.path.startswith("/files/"):
            self._send_file(url.path.removeprefix("/files/"))
        elif self.command != "OPTIONS" and KEY not in _keys(self.headers):
            self._send_error(_ERRORS["UNAUTHORIZED" if url.path.startswith(BASIC_PATHS) else "ACCESS_DENIED"])
        else:
            self._call(_event(self, url.path, url.query, body))

    do_GET = do_POST = do_DELETE = do_HEAD = do_OPTIONS = handle_request  # noqa: N815  # names of http.server

    def _call(self, event: dict[str, Any]) -> None:
        service = self.server.services.get()
        ends = time.monotonic() + GATEWAY_SECONDS - 1
        context = SimpleNamespace(get_remaining_time_in_millis=lambda: 1000 * (ends + 3 - time.monotonic()))
        response: Future[Any] = self.pool.submit(service, event, context)
        response.add_done_callback(lambda _: self.server.services.put(service))
        try:
            output = response.result(GATEWAY_SECONDS)
        except TimeoutError:
            self._send_error(_ERRORS["INTEGRATION_TIMEOUT"])
            return
        encoded = output["isBase64Encoded"]
        self._send(
            output["statusCode"],
            output["headers"],
            base64.b64decode(output["body"]) if encoded else output["body"].encode(),
        )

    def _send_file(self, key: str) -> None:
        body = self.server.files.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        self._send(200, {"content-type": "image/png"}, body)

    def _send_error(self, error: GatewayError) -> None:
        self._send(error.status, error.headers, error.template.replace("$context.requestId", uuid4().hex).encode())

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


def _keys(headers: Any) -> set[str]:
    """Return the keys of a request, as the authorizer finds them."""
    scheme, _, credentials = (headers.get("authorization") or "").partition(" ")
    if scheme.lower() == "basic":
        credentials = base64.b64decode(credentials + "==").decode(errors="replace").partition(":")[2]
    return {headers.get("x-api-key") or "", credentials}


def _event(request: BaseHTTPRequestHandler, path: str, query: str, body: bytes) -> dict[str, Any]:
    """Return the event of a request. With `binaryMediaTypes` `*/*` each body is base64."""
    names = {name.lower(): request.headers.get_all(name) or [] for name in request.headers}
    headers = {**names, "x-forwarded-proto": ["http"]}
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": request.command,
        "headers": {name: values[-1] for name, values in headers.items()},
        "multiValueHeaders": headers,
        "multiValueQueryStringParameters": parse_qs(query, keep_blank_values=True) or None,
        "requestContext": {
            "path": path,
            "requestId": uuid4().hex,
            "requestTimeEpoch": int(time.time() * 1000),
            "identity": {"apiKeyId": "id"},
            "authorizer": {"owner": sha256(KEY.encode()).hexdigest()[:16]},
        },
        "body": base64.b64encode(body).decode() if body else None,
        "isBase64Encoded": bool(body),
    }


class SageMaker(ThreadingHTTPServer):
    """DescribeEndpoint and InvokeEndpointAsync. A job starts when the endpoint is awake."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Endpoint)
        self.awake_at = 0.0
        self._jobs = ThreadPoolExecutor(INSTANCES)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def instances(self) -> int:
        return int(time.monotonic() >= self.awake_at)

    def start(self, inference_id: str, location: str) -> tuple[float, str]:
        """Queue a job. Return the seconds that this takes, or -1 to refuse it, and where the output will be."""
        s3 = boto3.client("s3")
        bucket, _, key = location.removeprefix("s3://").partition("/")
        request = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        command, _, argument = request["prompt"][0].partition(" ")
        if command == "busy":
            return -1, ""
        output = f"async-output/{uuid4().hex}.out"
        self._jobs.submit(self._run, s3, key, inference_id, output)
        return float(argument) if command == "hang" else 0.0, f"s3://{bucket}/{output}"

    def _run(self, s3: Any, key: str, inference_id: str, output: str) -> None:
        """Run the job as soon as the endpoint is awake, if its input still exists."""
        time.sleep(max(0.0, self.awake_at - time.monotonic()))
        if "Contents" in s3.list_objects_v2(Bucket=BUCKET, Prefix=key):
            request = json.loads(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
            s3.put_object(Bucket=BUCKET, Key=output, Body=json.dumps(generate(request, inference_id)).encode())


class _Endpoint(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: SageMaker

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        if not self.path.endswith("/async-invocations"):
            variants = [{"VariantName": "v", "CurrentInstanceCount": self.server.instances}]
            self._send(200, {"EndpointStatus": "InService", "ProductionVariants": variants})
            return
        location = self.headers["x-amzn-sagemaker-inputlocation"]
        seconds, output = self.server.start(self.headers["x-amzn-sagemaker-inference-id"], location)
        if seconds < 0:
            self._send(400, {"message": "slow down"}, {"x-amzn-errortype": "ThrottlingException"})
            return
        time.sleep(seconds)
        self._send(202, {"InferenceId": "1"}, {"x-amzn-sagemaker-outputlocation": output})

    def _send(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {
            "content-type": "application/json",
            "content-length": str(len(body)),
            **(headers or {}),
        }.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...
