"""The API as one function from event to answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.utilities.data_classes.common import BaseProxyEvent

from contract import EaselError
from gateway.events import (
    ANSWER_BYTES,
    PREFLIGHT,
    Answer,
    Call,
    Route,
    encoded_size,
    read_call,
    read_request_id,
    render,
)
from gateway.problem_details import MEDIA_TYPE, MethodNotAllowedError, problem, problem_headers
from gateway.telemetry import Telemetry

_METHODS = ("GET", "POST", "DELETE", "PUT")
"""All methods that routes have, and one that none has, to stand for all others."""


class Door(Protocol):
    """A dialect of the API."""

    def routes(self) -> list[Route]: ...


class _Resolver(APIGatewayRestResolver):
    """Powertools' resolver with the current event on the instance: Powertools keeps it on a class, for all threads."""

    def _to_proxy_event(self, event: dict[str, Any]) -> BaseProxyEvent:
        self.current_event = super()._to_proxy_event(event)  # type: ignore[assignment]
        return self.current_event


class Router:
    """Powertools' routing from request to response. A router takes one request at a time; each thread needs its own."""

    def __init__(self, doors: Sequence[Door]) -> None:
        self._app = _Resolver()
        self._app.not_found(_not_found)
        self._app.exception_handler(Exception)(_pass_on)
        allowed: dict[str, list[str]] = {}
        for route in (route for door in doors for route in door.routes()):
            self._app.route(route.path, route.method)(self._handler(route.action))
            allowed.setdefault(route.path, []).append(route.method)
        for path, methods in allowed.items():
            others = [method for method in _METHODS if method not in methods]
            self._app.route(path, others)(_method_not_allowed(methods))

    def answer(self, call: Call) -> Answer:
        self._app.append_context(call=call)  # type: ignore[no-untyped-call]
        method = call.method if call.method in _METHODS else _METHODS[-1]
        event = {"httpMethod": method, "path": call.path, "headers": {}, "requestContext": {"stage": ""}}
        told = self._app.resolve(event, None)  # type: ignore[arg-type]  # nothing reads the Lambda context
        headers = {name: values[0] for name, values in told["multiValueHeaders"].items()}
        return Answer(told["statusCode"], told["body"], headers.pop("Content-Type"), headers)

    def _handler(self, action: Callable[..., Answer]) -> Callable[..., Response[str]]:
        def run(**params: str) -> Response[str]:
            answer = action(self._app.context["call"], **params)
            return Response(answer.status, answer.media_type, answer.body, dict(answer.headers))

        return run


class Service:
    """The outermost guard: every event gets a well-formed answer, even where `make_router` cannot make one."""

    def __init__(self, make_router: Callable[[], Router], now: Callable[[], float], telemetry: Telemetry) -> None:
        self._make_router, self._now, self._telemetry = make_router, now, telemetry

    def __call__(self, event: Any, context: Any = None) -> dict[str, Any]:
        request_id = read_request_id(event, context)
        self._telemetry.begin(request_id)
        began = self._now()
        call: Call | None = None
        code = cause = ""
        try:
            call = read_call(event, began)
            answer = _sendable(self._answer(call))
        except Exception as error:
            failure = self._known(error, request_id)
            answer, code, cause = _problem(failure, call, request_id), failure.code, _cause(failure)
        with suppress(OSError):  # a log that cannot be written, on a full disk, is no reason not to answer
            self._tell_request(call, answer, code, cause, began, request_id)
        return render(answer, request_id)

    def _tell_request(
        self, call: Call | None, answer: Answer, code: str, cause: str, began: float, request_id: str
    ) -> None:
        self._telemetry.request(
            method=call.method if call else "",
            path=call.path[:80] if call else "",
            status=answer.status,
            code=code,
            cause=cause,
            seconds=round(self._now() - began, 4),
            owner=call.owner if call else "",
            request_id=request_id,
        )

    def _answer(self, call: Call) -> Answer:
        if call.method == "OPTIONS":
            return Answer(204, "", headers=PREFLIGHT)
        return self._make_router().answer(call)

    def _known(self, error: Exception, request_id: str) -> EaselError:
        if isinstance(error, EaselError):
            return error
        with suppress(OSError):
            self._telemetry.crashed(error, request_id)
        return EaselError("internal", "an unexpected error", hint="Report the request_id.")


def _problem(error: EaselError, call: Call | None, request_id: str) -> Answer:
    body = problem(error, call.path[:200] if call else "", request_id).model_dump_json()
    return Answer(error.kind.status, body, MEDIA_TYPE, problem_headers(error))


def _cause(error: EaselError) -> str:
    """What the outside said, for the log. Not the model's words: they may quote a prompt."""
    cause = error.__cause__
    name = type(cause).__name__
    return "" if cause is None else name if name == "ModelError" else f"{name}: {str(cause)[:300]}"


def _sendable(answer: Answer) -> Answer:
    if encoded_size(render(answer, "")) > ANSWER_BYTES - 1024:
        raise EaselError("internal", "the answer is too large to be sent")
    return answer


def _pass_on(error: Exception) -> Response[str]:
    """Left to itself, Powertools logs every refusal with a traceback that quotes the caller."""
    raise error


def _not_found(_: Exception) -> Response[str]:
    raise EaselError("not_found", "there is no such route", hint="GET /openapi.json has all of them.")


def _method_not_allowed(methods: Sequence[str]) -> Callable[..., Response[str]]:
    def run(**_: str) -> Response[str]:
        raise MethodNotAllowedError(methods)

    return run
