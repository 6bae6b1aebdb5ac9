"""Error codes for the exceptions of boto3, and the client settings that all adapters share.

Every call is made once: boto3's own retries would send a request again while the model still works on the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore import exceptions as botocore
from botocore.config import Config

from contract import EaselError
from jobs.failures import parse_failure

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
    "AWS.SimpleQueueService.NonExistentQueue": "config_error",
    "ResourceNotFoundException": "config_error",
    "RequestEntityTooLargeException": "payload_too_large",
}
_TYPES: tuple[tuple[type[Exception], str], ...] = (
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
"""The first type that matches decides."""
_VALIDATION = ("ValidationError", "ValidationException")
_MESSAGES = {
    "model_loading": "the model is still loading",
    "throttled": "AWS accepts no more calls at the moment",
    "config_error": "a part of the service is missing or access to it is denied",
    "endpoint_missing": "the model's endpoint does not exist",
    "over_budget": "the month's budget is used up, so the service is stopped",
    "payload_too_large": "the request is too large for the endpoint",
    "model_timeout": "the endpoint did not respond in time; the image may still be generated",
    "upstream_closed": "the endpoint closed the connection; the image may still be generated",
    "upstream_truncated": "the endpoint's response was cut off",
    "internal": "a call of AWS had wrong parameters",
}
_READ_LOG = "The operator finds details in the function's log."
_HINTS = {
    "config_error": _READ_LOG,
    "internal": _READ_LOG,
    "endpoint_missing": "It is paused or was never deployed. The operator can start it with `easel resume`.",
    "over_budget": "It stays stopped, also in the next month, until the operator starts it with `easel resume`. To be "
    "stopped again in this month, the operator deploys a higher `budget_usd`; AWS Budgets shows what was spent.",
}


def translate(error: Exception) -> EaselError:
    """Return the EaselError for an exception of boto3.

    Its message does not quote AWS: those texts contain names of accounts, buckets and roles.
    """
    if isinstance(error, botocore.ClientError):
        return _client_error(error.response)
    return error_of(next((code for kind, code in _TYPES if isinstance(error, kind)), "upstream_error"))


@contextmanager
def translated() -> Iterator[None]:
    """Raise exceptions of boto3 as EaselErrors."""
    try:
        yield
    except (botocore.BotoCoreError, botocore.ClientError) as error:
        raise translate(error) from error


def is_validation_error(error: BaseException | None) -> bool:
    """Return whether AWS rejected a request as invalid, as it does for endpoints that are not in service."""
    return isinstance(error, botocore.ClientError) and error.response["Error"]["Code"] in _VALIDATION


def error_of(code: str) -> EaselError:
    """Return an EaselError with the usual message and hint of its code."""
    return EaselError(code, _MESSAGES.get(code, "the endpoint or the store failed"), hint=_HINTS.get(code, ""))


def client_config(read_timeout: float) -> Config:
    """Return client settings: one attempt, and timeouts in seconds."""
    return Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=read_timeout)


def _client_error(response: Any) -> EaselError:
    error = response.get("Error", {})
    code, message = str(error.get("Code", "")), str(error.get("Message", ""))
    if code == "ModelError":
        return _model_error(response, message)
    if code in _VALIDATION:
        return error_of(_validation_code(message))
    return error_of(_CODES.get(code, "upstream_error"))


def _model_error(response: Any, message: str) -> EaselError:
    status = response.get("OriginalStatusCode")
    if status == 0:
        return error_of("model_timeout")
    error = parse_failure(f"{response.get('OriginalMessage', '')} {message}")
    busy = status in (503, 507) and error.code == "model_error"
    return EaselError("model_busy", "the model is busy") if busy else error


def _validation_code(message: str) -> str:
    text = message.lower()
    if "not found" in text or "could not find" in text:
        return "endpoint_missing"
    if "length less than or equal" in text or "too large" in text or "exceed" in text:
        return "payload_too_large"
    return "upstream_unavailable" if "inservice" in text.replace(" ", "") else "config_error"
