"""Errors as HTTP responses: RFC 9457 problem documents, which clients of the OpenAI API can read too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from contract import EaselError
from gateway.events import Response, without_surrogates

MEDIA_TYPE = "application/problem+json"

_RETRY_AFTER_S = {"model_loading": 15, "model_busy": 10, "too_busy": 5, "throttled": 5}
"""Seconds after which a client may retry, by retryable code; 10 for other retryable codes."""

_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class View(BaseModel):
    """Base of response bodies. All fields are always present; unknown values are null."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class InvalidParam(View):
    """A field and what is wrong with it."""

    name: str
    reason: str


class OpenAIError(View):
    """The same error for clients of the OpenAI API."""

    message: str
    type: str
    param: str | None
    code: str


class Problem(View):
    """An error (RFC 9457), with a stable code, what to do, and a member `error` for OpenAI clients."""

    type: str
    title: str
    status: int
    detail: Annotated[str, Field(description="What was wrong")]
    instance: str
    code: str
    request_id: str
    retryable: Annotated[bool, Field(description="Whether the same request may be sent again")]
    retry_after_s: int | None
    hint: Annotated[str, Field(description="What to do")]
    invalid_params: list[InvalidParam]
    error: OpenAIError


class MethodNotAllowedError(EaselError):
    """A known path with another method. `allowed`: the methods of the route, for the header Allow."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self.allowed = ", ".join(allowed)
        super().__init__("method_not_allowed", "this route does not have this method", hint=f"Use {self.allowed}.")


class RetryLaterError(EaselError):
    """A retryable error that knows the seconds after which a client may retry."""

    def __init__(self, code: str, message: str, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(code, message, hint=f"Send the request again in {seconds} s.")


def problem_response(error: EaselError, path: str, request_id: str) -> Response:
    """Return the response to an error in the form of the native API."""
    body = problem(error, path, request_id).model_dump_json()
    return Response(error.kind.status, body, MEDIA_TYPE, problem_headers(error))


def retry_after_s(error: EaselError) -> int | None:
    """Return the seconds after which the client may retry, or None if it should not."""
    if isinstance(error, RetryLaterError):
        return error.seconds
    return _RETRY_AFTER_S.get(error.code, 10) if error.kind.retryable else None


def problem(error: EaselError, instance: str, request_id: str) -> Problem:
    """Return the body of an error response. `instance` is the path of the request."""
    status, detail = error.kind.status, without_surrogates(error.message)
    param = without_surrogates(error.param or "") or None
    openai_type = _OPENAI_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return Problem(
        type=f"urn:easel:error:{error.code}",
        title=error.kind.title,
        status=status,
        detail=detail,
        instance=instance,
        code=error.code,
        request_id=request_id,
        retryable=error.kind.retryable,
        retry_after_s=retry_after_s(error),
        hint=without_surrogates(error.hint),
        invalid_params=[InvalidParam(name=param, reason=detail)] if param else [],
        error=OpenAIError(message=detail, type=openai_type, param=param, code=error.code),
    )


def problem_headers(error: EaselError) -> dict[str, str]:
    """Return the headers of an error response.

    OpenAI's clients retry 408, 409, 429 and 5xx by default. `x-should-retry: false` stops them if the error is not
    retryable, so that no GPU time is paid twice.
    """
    if isinstance(error, MethodNotAllowedError):
        return {"allow": error.allowed, "x-should-retry": "false"}
    seconds = retry_after_s(error)
    return {"retry-after": str(seconds)} if seconds else {"x-should-retry": "false"}
