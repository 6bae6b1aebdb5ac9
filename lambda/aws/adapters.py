"""The cloud's adapters of `ports.py`, and what boto3 raises as codes of the contract. Nothing else imports boto3.

Every call is made once: boto3's own retries send a picture's request again while the first one is still being drawn.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any, NoReturn

import boto3
from botocore import exceptions as botocore
from botocore.config import Config

from contract import DEADLINE_MS, EaselError
from jobs.failures import read_failure
from jobs.ports import EndpointState, Submission, Ticket

LINK_SECONDS = 900
"""No link lives longer."""
CALL_SECONDS = DEADLINE_MS.maximum // 1000 + 60
"""How long SageMaker lets a container draw: the longest deadline, and a minute to write the pictures."""
_SUBMIT_SECONDS = 10
_REALTIME_SECONDS = 65
"""A real-time container must answer within 60 s."""
_TTL_SECONDS = (60, 21_600)
"""What RequestTTLSeconds may be."""
_STATE_SECONDS = 5
"""For so long one DescribeEndpoint is believed."""
_WAKE_MINUTES = (4, 10)
"""From no instance to the first picture: two alarm periods of a minute, the instance, the image, the weights."""
_CONFLICTS = 3

_CODES = {
    "ModelNotReadyException": "model_loading",
    "ServiceUnavailable": "upstream_unavailable",
    "ServiceUnavailableException": "upstream_unavailable",
    "SlowDown": "upstream_unavailable",
    "InternalFailure": "upstream_error",
    "InternalDependencyException": "upstream_error",
    "InternalError": "upstream_error",
    "ThrottlingException": "throttled",
    "Throttling": "throttled",
    "TooManyRequestsException": "throttled",
    "RequestLimitExceeded": "throttled",
    "AccessDenied": "config_error",
    "AccessDeniedException": "config_error",
    "ExpiredToken": "config_error",
    "ExpiredTokenException": "config_error",
    "InvalidAccessKeyId": "config_error",
    "SignatureDoesNotMatch": "config_error",
    "UnrecognizedClientException": "config_error",
    "NoSuchBucket": "config_error",
    "ResourceNotFoundException": "config_error",
    "RequestEntityTooLargeException": "payload_too_large",
}
_KINDS: tuple[tuple[type[Exception], str], ...] = (
    (botocore.ReadTimeoutError, "model_timeout"),
    (botocore.ConnectTimeoutError, "upstream_unreachable"),
    (botocore.EndpointConnectionError, "upstream_unreachable"),
    (botocore.ProxyConnectionError, "upstream_unreachable"),
    (botocore.SSLError, "upstream_unreachable"),
    (botocore.ConnectionClosedError, "upstream_closed"),
    (botocore.ResponseStreamingError, "upstream_truncated"),
    (botocore.IncompleteReadError, "upstream_truncated"),
    (botocore.NoCredentialsError, "config_error"),
    (botocore.PartialCredentialsError, "config_error"),
    (botocore.CredentialRetrievalError, "config_error"),
    (botocore.NoRegionError, "config_error"),
    (botocore.ParamValidationError, "internal"),
    (botocore.HTTPClientError, "upstream_error"),
)
_VALIDATION = ("ValidationError", "ValidationException")
_MESSAGES = {
    "model_loading": "the model is still loading",
    "throttled": "AWS takes no more calls at the moment",
    "config_error": "a part of the service may not be used, or is missing",
    "endpoint_missing": "the model's endpoint does not exist",
    "payload_too_large": "the request is too large for the endpoint",
    "model_timeout": "the endpoint did not answer in time; the picture may still be in the drawing",
    "upstream_closed": "the endpoint closed the connection; the picture may still be in the drawing",
    "upstream_truncated": "the endpoint's answer was cut off",
    "internal": "AWS was called in a wrong way",
}


# --- errors --------------------------------------------------------------------------------------


def translate(error: Exception) -> EaselError:
    """The code for what boto3 raised. What AWS said is not told to callers: it names accounts, buckets and roles."""
    if isinstance(error, botocore.ClientError):
        return _told(error.response)
    code = next((code for kind, code in _KINDS if isinstance(error, kind)), "upstream_error")
    return _error(code)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (botocore.BotoCoreError, botocore.ClientError) as error:
        raise translate(error) from error


def _told(response: Any) -> EaselError:
    told = response.get("Error", {})
    code, message = str(told.get("Code", "")), str(told.get("Message", ""))
    if code == "ModelError":
        return _model_error(response, message)
    if code in _VALIDATION:
        return _error(_validation(message))
    return _error(_CODES.get(code, "upstream_error"))


def _model_error(response: Any, message: str) -> EaselError:
    status = response.get("OriginalStatusCode")
    if status == 0:
        return _error("model_timeout")
    error = read_failure(f"{response.get('OriginalMessage', '')} {message}")
    busy = status in (503, 507) and error.code == "model_error"
    return EaselError("model_busy", "the model is busy") if busy else error


def _validation(message: str) -> str:
    text = message.lower()
    if "not found" in text or "could not find" in text:
        return "endpoint_missing"
    if "length less than or equal" in text or "too large" in text or "exceed" in text:
        return "payload_too_large"
    return "upstream_unavailable" if "inservice" in text.replace(" ", "") else "config_error"


_HINTS = {
    "config_error": "The operator finds more in the function's log.",
    "internal": "The operator finds more in the function's log.",
    "endpoint_missing": "It is paused or was never deployed. The operator brings it back with `easel resume`.",
}


def _error(code: str) -> EaselError:
    return EaselError(code, _MESSAGES.get(code, "the endpoint or the store failed"), hint=_HINTS.get(code, ""))


def _config(read_timeout: float) -> Config:
    return Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=read_timeout)


# --- adapters ------------------------------------------------------------------------------------


class WallClock:
    """The machine's time."""

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class BucketStore:
    """The store in one S3 bucket."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket

    @cached_property
    def _s3(self) -> Any:
        signing = Config(
            signature_version="s3v4", s3={"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"}
        )
        return boto3.client("s3", config=_config(5).merge(signing))

    def read(self, key: str) -> bytes | None:
        try:
            with _store_errors():
                body: bytes = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
                return body
        except _MissingError:
            return None

    def create(self, key: str, body: bytes) -> bool:
        for _ in range(_CONFLICTS):
            try:
                with _store_errors():
                    self._put(key, body, "application/json", IfNoneMatch="*")
                return True
            except _TakenError:
                return False
            except _ConflictError:
                continue
        raise EaselError("upstream_unavailable", "the store is busy")

    def write(self, key: str, body: bytes, media_type: str = "application/json") -> None:
        with _store_errors():
            self._put(key, body, media_type)

    def delete(self, key: str) -> None:
        with _store_errors():
            self._s3.delete_object(Bucket=self._bucket, Key=key)

    def list(self, prefix: str, limit: int) -> Sequence[str]:
        with _store_errors():
            found = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=prefix, Delimiter="/", MaxKeys=limit)
        keys = [entry["Prefix"] for entry in found.get("CommonPrefixes", ())]
        keys += [entry["Key"] for entry in found.get("Contents", ())]
        return sorted(key[len(prefix) :].rstrip("/") for key in keys)

    def link(self, key: str, seconds: int) -> str:
        with _store_errors():
            target = {"Bucket": self._bucket, "Key": key}
            url: str = self._s3.generate_presigned_url("get_object", target, ExpiresIn=min(seconds, LINK_SECONDS))
            return url

    def key_of(self, uri: str) -> str | None:
        """The key behind an `s3://` address of this bucket; None for any other address."""
        prefix = f"s3://{self._bucket}/"
        return uri[len(prefix) :] if uri.startswith(prefix) else None

    def uri_of(self, key: str) -> str:
        return f"s3://{self._bucket}/{key}"

    def _put(self, key: str, body: bytes, media_type: str, **condition: str) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=media_type, **condition)


class _MissingError(Exception):
    """There is no such object."""


class _TakenError(Exception):
    """There is such an object already."""


class _ConflictError(Exception):
    """Two conditional writes met; one of them may be sent again."""


_STORE_CASES = {
    "NoSuchKey": _MissingError,
    "404": _MissingError,
    "PreconditionFailed": _TakenError,
    "412": _TakenError,
    "ConditionalRequestConflict": _ConflictError,
}


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except botocore.ClientError as error:
        case = _STORE_CASES.get(error.response.get("Error", {}).get("Code", ""))
        raise (case() if case else translate(error)) from error
    except botocore.ReadTimeoutError as error:
        raise EaselError("upstream_unavailable", "the store did not answer in time") from error
    except botocore.BotoCoreError as error:
        raise translate(error) from error


class Watch:
    """What the endpoint does, asked of SageMaker at most every few seconds."""

    def __init__(self, name: str, now: Callable[[], float] = time.monotonic) -> None:
        self._name, self._now = name, now
        self._known: tuple[float, EndpointState] | None = None

    @cached_property
    def _sagemaker(self) -> Any:
        return boto3.client("sagemaker", config=_config(3))

    def state(self) -> EndpointState:
        if self._known is None or self._now() - self._known[0] > _STATE_SECONDS:
            self._known = (self._now(), self._ask())
        return self._known[1]

    def _ask(self) -> EndpointState:
        try:
            with _translated():
                told = self._sagemaker.describe_endpoint(EndpointName=self._name)
        except EaselError as error:
            if error.code == "endpoint_missing":
                return EndpointState(
                    "broken", "The model's endpoint does not exist: it is paused or was never deployed."
                )
            raise
        instances = sum(variant.get("CurrentInstanceCount", 0) for variant in told.get("ProductionVariants", ()))
        return _state(told["EndpointStatus"], instances)


def _state(status: str, instances: int) -> EndpointState:
    if status in ("InService", "Updating", "SystemUpdating", "RollingBack"):
        if instances:
            return EndpointState("ready", f"The endpoint is {status}.")
        return EndpointState("asleep", "No instance runs; the next job starts one.", _WAKE_MINUTES)
    if status == "Creating":
        return EndpointState("starting", "The endpoint is being created.", _WAKE_MINUTES)
    return EndpointState("broken", f"The endpoint is {status}.")


class AsyncEndpoint:
    """SageMaker asynchronous inference: the queue, the wake-up and the answer's place are SageMaker's.

    `ttl_s`: a job's time from birth to expiry; a call leaves the queue early enough to be drawn within it.
    """

    tells_start = False
    shows_preview = False

    def __init__(self, name: str, store: BucketStore, ttl_s: float) -> None:
        self._name, self._store, self._watch = name, store, Watch(name)
        low, high = _TTL_SECONDS
        self._queue_s = int(max(low, min(high, ttl_s - CALL_SECONDS)))

    @cached_property
    def _runtime(self) -> Any:
        return boto3.client("sagemaker-runtime", config=_config(_SUBMIT_SECONDS))

    def submit(self, ticket: Ticket) -> Submission:
        try:
            with _translated():
                told = self._runtime.invoke_endpoint_async(
                    EndpointName=self._name,
                    ContentType="application/json",
                    Accept="application/json",
                    InferenceId=ticket.inference_id,
                    InputLocation=self._store.uri_of(ticket.key("request.json")),
                    InvocationTimeoutSeconds=CALL_SECONDS,
                    RequestTTLSeconds=self._queue_s,
                )
        except EaselError as error:
            _explain(error, self._watch)
        return Submission(self._key(told.get("OutputLocation")), self._key(told.get("FailureLocation")))

    def progress(self, ticket: Ticket) -> None:
        """SageMaker does not tell."""

    def state(self) -> EndpointState:
        return self._watch.state()

    def _key(self, uri: str | None) -> str | None:
        return self._store.key_of(uri) if uri else None


class RealtimeEndpoint:
    """Hands the job to our own runner function, which may wait longer than a caller can."""

    tells_start = True
    shows_preview = False

    def __init__(self, name: str, runner: str) -> None:
        self._runner, self._watch = runner, Watch(name)

    @cached_property
    def _lambda(self) -> Any:
        return boto3.client("lambda", config=_config(5))

    def submit(self, ticket: Ticket) -> Submission:
        event = json.dumps({"owner": ticket.owner, "id": ticket.id}).encode()
        with _translated():
            self._lambda.invoke(FunctionName=self._runner, InvocationType="Event", Payload=event)
        return Submission()

    def progress(self, ticket: Ticket) -> None:
        """SageMaker does not tell."""

    def state(self) -> EndpointState:
        return self._watch.state()


class RealtimePredictor:
    """SageMaker real-time inference."""

    def __init__(self, name: str) -> None:
        self._name, self._watch = name, Watch(name)

    @cached_property
    def _runtime(self) -> Any:
        return boto3.client("sagemaker-runtime", config=_config(_REALTIME_SECONDS))

    def predict(self, ticket: Ticket, body: bytes) -> bytes:
        try:
            with _translated():
                told = self._runtime.invoke_endpoint(
                    EndpointName=self._name,
                    ContentType="application/json",
                    Accept="application/json",
                    InferenceId=ticket.inference_id,
                    Body=body,
                )
        except EaselError as error:
            _explain(error, self._watch)
        return _body(told)


def _body(told: Any) -> bytes:
    """The answer is still under way when the call returns: a timeout now means that it was cut off."""
    try:
        with _translated():
            body: bytes = told["Body"].read()
            return body
    except EaselError:
        raise _error("upstream_truncated") from None


def _explain(error: EaselError, watch: Watch) -> NoReturn:
    """Where the endpoint refuses to be called, its status says why."""
    cause = error.__cause__
    if isinstance(cause, botocore.ClientError) and cause.response["Error"]["Code"] in _VALIDATION:
        with suppress(EaselError):
            state = watch.state()
            if error.code == "config_error" and state.status in ("starting", "broken"):
                error = EaselError("upstream_unavailable", state.detail)
    raise error from cause
