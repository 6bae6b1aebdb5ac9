"""The whole service as one function from event to response."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from contract import EaselError
from gateway.events import (
    MAX_RESPONSE_BYTES,
    PREFLIGHT,
    Request,
    Response,
    encoded_size,
    read_age,
    read_path,
    read_remaining,
    read_request,
    read_request_id,
    render,
)
from gateway.problem_details import problem_response
from gateway.router import Router
from gateway.telemetry import Telemetry

ErrorRenderer = Callable[[EaselError, str, str], Response]
"""Returns the response to an error, from the error, the request's path and the request id."""


class Service:
    """Handles every event with a valid response, also after errors of `make_router` and `auth`.

    `make_router` returns the routes. `auth` returns how callers are identified: a value of `gateway.callers.AUTH`.
    `render_error` returns the response to an error in the form that the API at a path has.
    `steady` and `now`: the clocks of `jobs.ports.Clock`.
    """

    def __init__(
        self,
        make_router: Callable[[], Router],
        *,
        auth: Callable[[], str],
        steady: Callable[[], float],
        now: Callable[[], float] = time.time,
        telemetry: Telemetry,
        render_error: ErrorRenderer = problem_response,
    ) -> None:
        self._make_router, self._auth, self._telemetry = make_router, auth, telemetry
        self._render_error = render_error
        self._steady, self._now = steady, now

    def __call__(self, event: Any, context: Any = None) -> dict[str, Any]:
        request_id = read_request_id(event, context)
        self._telemetry.begin(request_id)
        began_at = self._steady()
        received_at, ends_at = began_at - read_age(event, self._now()), began_at + read_remaining(context)
        request: Request | None = None
        code = cause = ""
        try:
            request = read_request(event, self._auth(), received_at, ends_at)
            response = _checked_size(self._respond(request))
        except Exception as exception:
            error = self._to_easel_error(exception, request_id)
            response = self._render_error(error, request.path[:200] if request else read_path(event), request_id)
            code, cause = error.code, _cause(error)
        with suppress(OSError):  # respond even if the log cannot be written, for example to a full disk
            self._log(request, response, code, cause, received_at, request_id)
        return render(replace(response, body="") if _is_head(event) else response, request_id)

    def _log(
        self, request: Request | None, response: Response, code: str, cause: str, received_at: float, request_id: str
    ) -> None:
        self._telemetry.request(
            method=request.method if request else "",
            path=request.path[:80] if request else "",
            status=response.status,
            code=code,
            cause=cause,
            seconds=round(max(0.0, self._steady() - received_at), 4),
            owner=request.owner if request else "",
            request_id=request_id,
        )

    def _respond(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(204, "", headers=PREFLIGHT)
        return self._make_router().respond(request)

    def _to_easel_error(self, exception: Exception, request_id: str) -> EaselError:
        if isinstance(exception, EaselError):
            return exception
        with suppress(OSError):
            self._telemetry.crashed(exception, request_id)
        return EaselError("internal", "an unexpected error", hint="Report the request_id to the operator.")


def _is_head(event: Any) -> bool:
    """Return whether the response must have no body."""
    return isinstance(event, dict) and event.get("httpMethod") in ("HEAD", "head")


def _cause(error: EaselError) -> str:
    """Return the underlying exception for the log. Of a ModelError only the type: its text may quote a prompt."""
    cause = error.__cause__
    name = type(cause).__name__
    return "" if cause is None else name if name == "ModelError" else f"{name}: {str(cause)[:300]}"


def _checked_size(response: Response) -> Response:
    if encoded_size(render(response, "")) > MAX_RESPONSE_BYTES - 1024:
        raise EaselError("internal", "the response is too large for Lambda", hint="Request fewer items.")
    return response
