"""Errors that the client raises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from easel.console.printable import printable

if TYPE_CHECKING:
    from easel.client.responses import JobState


class EaselError(Exception):
    """Base of all errors of the client. `str()` is safe to print: a server cannot put control characters into it.

    title: what went wrong. detail: why. hint: what to do. where: the request or the setting.
    code: stable name of the API's error, such as `out_of_range`; empty if the API sent none.
    param: the field of the request, if the error is about one.
    status: status of the HTTP response, or None without a response.
    retryable: whether the same request may work later. retry_after: seconds until then, if the API sent them.
    request_id: identifies the request in the logs of the service; empty if there is none.
    """

    def __init__(
        self,
        title: str,
        *,
        detail: str = "",
        hint: str = "",
        where: str = "",
        code: str = "",
        param: str | None = None,
        status: int | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(title)
        self.title, self.detail, self.hint, self.where = title, detail, hint, where
        self.code, self.param, self.status = code, param, status
        self.retryable, self.retry_after, self.request_id = retryable, retry_after, request_id

    def __str__(self) -> str:
        text = f"{self.title}: {self.detail}" if self.detail else self.title
        text = f"{text.rstrip('.')}. {self.hint}" if self.hint else text
        known = {"": self.where, "code ": self.code, "request ": self.request_id}
        notes = ", ".join(f"{name}{value}" for name, value in known.items() if value)
        return printable(f"{text} ({notes})" if notes else text)


class UsageError(EaselError, ValueError):
    """The URL, the API key, an image or another argument cannot be used. Nothing was sent."""


class ConnectionFailedError(EaselError, ConnectionError):
    """The service cannot be reached, or its certificate is not trusted."""


class InvalidResponseError(EaselError):
    """The response is not one of Easel: another program, too large, or too slow. `detail` says which."""

    def __init__(self, detail: str, where: str = "") -> None:
        super().__init__("This is not Easel", detail=detail, where=where, hint="Check base_url.")


class ApiError(EaselError):
    """The API refused the request. The base of the errors by status."""


class BadRequestError(ApiError):
    """400, 408, 413, 415, 422 and other 4xx: the request cannot be served as it is. `param` names the field."""


class AuthenticationError(ApiError):
    """401, 403: the API key is missing or wrong, or may not do this."""


class NotFoundError(ApiError):
    """404: there is no such job, or no Easel at this URL."""


class ConflictError(ApiError):
    """409: the job has started or finished, or the idempotency key belongs to another request."""


class RateLimitError(ApiError):
    """429: too many requests, or a quota that is used up (then `retryable` is False)."""


class ServerError(ApiError):
    """5xx: the service or the model failed, or is starting."""


class JobError(EaselError):
    """The job ended without images. `job_id`: its id."""

    def __init__(self, title: str, state: JobState) -> None:
        error = state.error
        super().__init__(
            title,
            detail=error.message if error else state.message,
            hint=error.hint if error else "",
            where=f"job {state.id}",
            code=error.code if error else "",
            param=error.param if error else None,
            status=error.status if error else None,
        )
        self.job_id = state.id


class JobFailedError(JobError):
    """The job failed. `code` is an error code of the API."""


class JobCancelledError(JobError):
    """The job was cancelled."""


class WaitTimeoutError(EaselError, TimeoutError):
    """The job has not ended in time. It goes on: `jobs.wait(error.job_id)` waits for it again."""

    def __init__(self, seconds: float, job_id: str) -> None:
        detail = f"it has not ended within {seconds:g} seconds, and goes on"
        super().__init__("The job takes longer", detail=detail, where=f"job {job_id}", retryable=True)
        self.job_id = job_id


BY_STATUS: dict[int, type[ApiError]] = {
    401: AuthenticationError,
    403: AuthenticationError,
    404: NotFoundError,
    409: ConflictError,
    429: RateLimitError,
}
"""Errors of single statuses; of others, `BadRequestError` below 500 and `ServerError` from there."""
