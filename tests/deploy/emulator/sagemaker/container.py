"""SageMaker's container contract without a container: model files in a folder, a program, /ping, /invocations."""

import http.client
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ..aws_api.service import Parameters, ServiceError
from ..ports import free_port
from .container_log import ContainerLog

PING_SECONDS = 2


@dataclass(frozen=True)
class ContainerResponse:
    status: int
    body: bytes
    content_type: str


def split_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of s3://bucket/key."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def download_model(s3: Any, source: Parameters, folder: Path) -> None:
    """Download uncompressed model data: every object below the prefix, with its relative path. Raises ServiceError."""
    if source["S3DataType"] != "S3Prefix" or source["CompressionType"] != "None" or not source["S3Uri"].endswith("/"):
        raise ServiceError("ValidationException", f"the emulator takes uncompressed prefixes only, not {source}")
    bucket, prefix = split_uri(source["S3Uri"])
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    if not keys:
        raise ServiceError("ValidationException", f"Could not find model data at {source['S3Uri']}.")
    for key in keys:
        target = folder / key.removeprefix(prefix)
        target.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(bucket, key, str(target))


class Container:
    """One running copy of the serving program, with its own copy of the model data."""

    @classmethod
    def start(
        cls, command: Sequence[str], definition: Parameters, s3: Any, open_log: Callable[[], ContainerLog], seconds: int
    ) -> Self:
        """Return a healthy container. Raises ServiceError after `seconds` or when the program has exited."""
        container = cls(command, definition, s3, open_log())
        try:
            container.wait(seconds)
        except ServiceError:
            container.stop()
            container.log.drain()
            raise
        return container

    def __init__(self, command: Sequence[str], definition: Parameters, s3: Any, log: ContainerLog) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="model-"))
        try:
            download_model(s3, definition["ModelDataSource"]["S3DataSource"], self.folder)
        except BaseException:
            shutil.rmtree(self.folder)
            raise
        self.port = free_port()
        arguments = [part.format(model_dir=self.folder, port=self.port) for part in command]
        environment = {
            "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "SAGEMAKER_BIND_TO_PORT": str(self.port),
            **definition.get("Environment", {}),
        }  # fmt: skip
        self.process = subprocess.Popen(
            arguments, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace",
        )  # fmt: skip
        assert self.process.stdout
        self.log = log
        log.follow(self.process.stdout)

    def wait(self, seconds: int) -> None:
        """Wait until /ping returns 200. Raises ServiceError with the FailureReason of DescribeEndpoint."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            if self._is_healthy():
                return
            time.sleep(0.1)
        raise ServiceError(
            "InternalFailure",
            "The primary container for production variant AllTraffic did not pass the ping health check. "
            "Please check CloudWatch logs for this endpoint.",
        )

    def _is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ping", timeout=PING_SECONDS) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def invoke(self, body: bytes, headers: dict[str, str], timeout: float) -> ContainerResponse:
        """Send one invocation. Raises OSError if the program does not answer, or not in time."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/invocations", data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return _read(response)
        except urllib.error.HTTPError as error:
            return _read(error)
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def _read(response: Any) -> ContainerResponse:
    if "content-length" not in response.headers:
        raise ConnectionError("the container did not specify the required Content-Length header")
    content_type = response.headers.get("content-type", "application/octet-stream")
    return ContainerResponse(response.status, response.read(), content_type)
