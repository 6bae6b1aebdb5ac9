"""Backends that call a SageMaker endpoint by name, as the article's app does: real-time, or asynchronous."""

from __future__ import annotations

import json
import logging
import os
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore import exceptions as aws
from botocore.config import Config

from backends import GeneratedImage, GenerationError, ImageRequest, Limits, read_error, read_image
from easel_api import check_files

log = logging.getLogger(__name__)

ONE_ATTEMPT = Config(connect_timeout=5, read_timeout=70, retries={"total_max_attempts": 1})
"""For invocations, in seconds. SageMaker ends a call after 60; a second attempt would generate and cost twice."""
STANDARD_RETRIES = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard"})
"""For the bucket, where a second attempt costs nothing."""
CREDENTIAL_PROCESS_ERRORS = (AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)
"""What botocore lets through where the `credential_process` of a profile is missing or prints no credentials."""
POLL_SECONDS = 1.0
JSON = "application/json"

CODES = {
    "ThrottlingException": "throttled",
    "AccessDeniedException": "config_error",
    "AccessDenied": "config_error",
    "ExpiredTokenException": "config_error",
    "ExpiredToken": "config_error",
    "UnrecognizedClientException": "config_error",
    "InvalidClientTokenId": "config_error",
    "InvalidAccessKeyId": "config_error",
    "InvalidSignatureException": "config_error",
    "SignatureDoesNotMatch": "config_error",
    "NoSuchBucket": "config_error",
    "ModelNotReadyException": "model_loading",
    "ServiceUnavailable": "upstream_unreachable",
}
"""Error codes of AWS and of this app."""


class RealtimeEndpoint:
    """A real-time endpoint. SageMaker limits a call to 60 s."""

    def __init__(self, name: str, runtime: Any = None) -> None:
        self._name = name
        self._runtime = runtime or create_client("sagemaker-runtime", ONE_ATTEMPT)

    def limits(self) -> Limits:
        return Limits()

    def generate(self, request: ImageRequest) -> GeneratedImage:
        with translated_errors():
            response = self._runtime.invoke_endpoint(
                EndpointName=self._name, ContentType=JSON, Accept=JSON, Body=json.dumps(request.payload()).encode()
            )
            return read_body(response["Body"].read())


class AsyncEndpoint:
    """An asynchronous endpoint. The request goes to the bucket, and the result or the failure comes from S3."""

    def __init__(self, name: str, bucket: str, runtime: Any = None, s3: Any = None, wait_seconds: float = 900) -> None:
        self._name, self._bucket, self._wait_seconds = name, bucket, wait_seconds
        self._runtime = runtime or create_client("sagemaker-runtime", ONE_ATTEMPT)
        self._s3 = s3 or create_client("s3", STANDARD_RETRIES)

    def limits(self) -> Limits:
        return Limits()

    def generate(self, request: ImageRequest) -> GeneratedImage:
        key = f"jobs/cloud9/{uuid.uuid4().hex}/request.json"
        with translated_errors():
            self._s3.put_object(
                Bucket=self._bucket, Key=key, Body=json.dumps(request.payload()).encode(), ContentType=JSON
            )
            call = self._runtime.invoke_endpoint_async(
                EndpointName=self._name, ContentType=JSON, Accept=JSON, InputLocation=f"s3://{self._bucket}/{key}"
            )
            return read_body(self._wait(call["OutputLocation"], call.get("FailureLocation")))

    def _wait(self, output: str, failure: str | None) -> bytes:
        end = time.monotonic() + self._wait_seconds
        while time.monotonic() < end:
            if (body := self._object(output)) is not None:
                return body
            if failure and self._object(failure) is not None:
                raise GenerationError("model_error")
            time.sleep(POLL_SECONDS)
        raise GenerationError("model_timeout")

    def _object(self, uri: str) -> bytes | None:
        location = urlsplit(uri)
        try:
            return bytes(self._s3.get_object(Bucket=location.netloc, Key=location.path[1:])["Body"].read())
        except self._s3.exceptions.NoSuchKey:
            return None


def create_client(service: str, config: Config) -> Any:
    """Return a boto3 client that also reads AWS_REGION, which boto3 does not. Raises SystemExit on wrong settings."""
    try:
        check_files({"AWS_CA_BUNDLE": stat.S_ISREG, "REQUESTS_CA_BUNDLE": stat.S_ISREG})
        return boto3.client(service, region_name=os.environ.get("AWS_REGION") or None, config=config)
    except (aws.BotoCoreError, *CREDENTIAL_PROCESS_ERRORS) as error:
        raise SystemExit(f"{str(error).rstrip('.')}. Check AWS_REGION and AWS_PROFILE.") from None


def read_body(body: bytes) -> GeneratedImage:
    """Read a response of the container. It returns errors as data, since an exception would become a status 400.

    Raises GenerationError.
    """
    try:
        response = json.loads(body)
    except ValueError:
        raise GenerationError("model_bad_response") from None
    if isinstance(response, dict) and "error" in response:
        raise read_error(response["error"])
    return read_image(response)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise errors of botocore as GenerationError. Only the log gets their messages, which name accounts and roles."""
    try:
        yield
    except aws.ClientError as error:
        raise GenerationError(_code(error.response)) from None
    except (aws.ReadTimeoutError, aws.ResponseStreamingError, aws.IncompleteReadError):
        raise GenerationError("model_timeout") from None
    except (aws.HTTPClientError, aws.ConnectionError):
        raise GenerationError("upstream_unreachable") from None
    except aws.BotoCoreError as error:
        log.error("%s", error)
        raise GenerationError("config_error") from None


def _code(response: Any) -> str:
    error = response.get("Error", {})
    aws_code, message = str(error.get("Code", "")), str(error.get("Message", ""))
    if aws_code == "ModelError":
        return "model_timeout" if response.get("OriginalStatusCode") == 0 else "model_error"
    if aws_code in ("ValidationError", "ValidationException"):
        return "endpoint_missing" if "not find" in message or "not found" in message else "wrong_mode"
    code = CODES.get(aws_code, "upstream_error")
    if code == "config_error":
        log.error("%s: %s", aws_code, message)
    return code
