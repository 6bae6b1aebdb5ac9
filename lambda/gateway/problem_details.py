"""Errors as HTTP answers: RFC 9457 problem documents that clients of the OpenAI API read as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from contract import EaselError
from gateway.events import whole

MEDIA_TYPE = "application/problem+json"

_RETRY_AFTER_S = {"model_loading": 15, "model_busy": 10, "too_busy": 5, "throttled": 5}
"""Seconds to wait before the same request is sent again, for retryable codes; 10 for those not named."""

_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class View(BaseModel):
    """Everything is always there; what is not known is null."""

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
    """RFC 9457, with a code of our own, the way out, and a member that OpenAI's clients read."""

    type: str
    title: str
    status: int
    detail: Annotated[str, Field(description="What was wrong")]
    instance: str
    code: str
    request_id: str
    retryable: Annotated[bool, Field(description="The same request may be sent again as it is")]
    retry_after_s: int | None
    hint: Annotated[str, Field(description="What to do")]
    invalid_params: list[InvalidParam]
    error: OpenAIError


class MethodNotAllowedError(EaselError):
    """`allowed`: the methods that the route has."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self.allowed = ", ".join(allowed)
        super().__init__("method_not_allowed", "this route has no such method", hint=f"Use {self.allowed}.")


def retry_after_s(error: EaselError) -> int | None:
    return _RETRY_AFTER_S.get(error.code, 10) if error.kind.retryable else None


def problem(error: EaselError, instance: str, request_id: str) -> Problem:
    """The body; `instance` is the path of the request."""
    status, detail, param = error.kind.status, whole(error.message), whole(error.param or "") or None
    kind = _OPENAI_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
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
        hint=whole(error.hint),
        invalid_params=[InvalidParam(name=param, reason=detail)] if param else [],
        error=OpenAIError(message=detail, type=kind, param=param, code=error.code),
    )


def problem_headers(error: EaselError) -> dict[str, str]:
    """OpenAI's clients send 408, 409, 429 and 5xx again by themselves; where that buys GPU time twice we forbid it."""
    if isinstance(error, MethodNotAllowedError):
        return {"allow": error.allowed, "x-should-retry": "false"}
    seconds = retry_after_s(error)
    return {"retry-after": str(seconds)} if seconds else {"x-should-retry": "false"}
