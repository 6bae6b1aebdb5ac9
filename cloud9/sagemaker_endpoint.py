"""A SageMaker endpoint by name, as the article's app called it: in real time, or asynchronously through a bucket."""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore import exceptions as aws
from botocore.config import Config

from backends import DrawError, Limits, Order, Picture, to_error, to_picture

log = logging.getLogger(__name__)

ONE_ATTEMPT = Config(connect_timeout=5, read_timeout=70, retries={"total_max_attempts": 1})
"""Seconds. SageMaker ends a call after 60; a second attempt would be a second picture on the GPU, and on the bill."""
PATIENT = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard"})
"""For the bucket, where a second attempt costs nothing."""
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


class RealtimeEndpoint:
    """One call, one picture; SageMaker allows it 60 s."""

    def __init__(self, name: str, runtime: Any = None) -> None:
        self._name = name
        self._runtime = runtime or client("sagemaker-runtime", ONE_ATTEMPT)

    def limits(self) -> Limits:
        return Limits()

    def draw(self, order: Order) -> Picture:
        with told():
            answer = self._runtime.invoke_endpoint(
                EndpointName=self._name, ContentType=JSON, Accept=JSON, Body=json.dumps(order.payload()).encode()
            )
            return picture_of(answer["Body"].read())


class AsyncEndpoint:
    """The request goes to the bucket, the answer or the failure comes to where the endpoint says."""

    def __init__(self, name: str, bucket: str, runtime: Any = None, s3: Any = None, wait_seconds: float = 900) -> None:
        self._name, self._bucket, self._wait_seconds = name, bucket, wait_seconds
        self._runtime = runtime or client("sagemaker-runtime", ONE_ATTEMPT)
        self._s3 = s3 or client("s3", PATIENT)

    def limits(self) -> Limits:
        return Limits()

    def draw(self, order: Order) -> Picture:
        key = f"jobs/cloud9/{uuid.uuid4().hex}/request.json"
        with told():
            self._s3.put_object(
                Bucket=self._bucket, Key=key, Body=json.dumps(order.payload()).encode(), ContentType=JSON
            )
            call = self._runtime.invoke_endpoint_async(
                EndpointName=self._name, ContentType=JSON, Accept=JSON, InputLocation=f"s3://{self._bucket}/{key}"
            )
            return picture_of(self._answer(call["OutputLocation"], call.get("FailureLocation")))

    def _answer(self, output: str, failure: str | None) -> bytes:
        end = time.monotonic() + self._wait_seconds
        while time.monotonic() < end:
            if (answer := self._object(output)) is not None:
                return answer
            if failure and self._object(failure) is not None:
                raise DrawError("model_error")
            time.sleep(POLL_SECONDS)
        raise DrawError("model_timeout")

    def _object(self, uri: str) -> bytes | None:
        place = urlsplit(uri)
        try:
            return bytes(self._s3.get_object(Bucket=place.netloc, Key=place.path[1:])["Body"].read())
        except self._s3.exceptions.NoSuchKey:
            return None


def client(service: str, config: Config) -> Any:
    """AWS_REGION, which AWS's other tools read, boto3 alone would not see."""
    try:
        return boto3.client(service, region_name=os.environ.get("AWS_REGION") or None, config=config)
    except (aws.BotoCoreError, OSError, ValueError) as error:  # also a `credential_process` that is not there
        raise SystemExit(f"{str(error).rstrip('.')}. Are AWS_REGION and AWS_PROFILE right?") from None


def picture_of(body: bytes) -> Picture:
    """The container answers errors as data too: the serving toolkit would turn an exception into status 400."""
    try:
        answer = json.loads(body)
    except ValueError:
        raise DrawError("model_bad_response") from None
    if isinstance(answer, dict) and "error" in answer:
        raise to_error(answer["error"])
    return to_picture(answer)


@contextmanager
def told() -> Iterator[None]:
    """What botocore raises, as a DrawError. Its messages name accounts and roles: they are for the log alone."""
    try:
        yield
    except aws.ClientError as error:
        raise DrawError(_code(error.response)) from None
    except (aws.ReadTimeoutError, aws.ResponseStreamingError, aws.IncompleteReadError):
        raise DrawError("model_timeout") from None
    except (aws.HTTPClientError, aws.ConnectionError):
        raise DrawError("upstream_unreachable") from None
    except aws.BotoCoreError as error:
        log.error("%s", error)
        raise DrawError("config_error") from None


def _code(response: Any) -> str:
    error = response.get("Error", {})
    code, message = str(error.get("Code", "")), str(error.get("Message", ""))
    if code == "ModelError":
        return "model_timeout" if response.get("OriginalStatusCode") == 0 else "model_error"
    if code in ("ValidationError", "ValidationException"):
        return "endpoint_missing" if "not find" in message or "not found" in message else "wrong_mode"
    known = CODES.get(code, "upstream_error")
    if known == "config_error":
        log.error("%s: %s", code, message)
    return known
