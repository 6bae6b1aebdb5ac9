"""Routes, and the dispatch of requests to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from aws_lambda_powertools.event_handler import Response as PowertoolsResponse
from aws_lambda_powertools.utilities.data_classes.common import BaseProxyEvent

from contract import EaselError
from gateway.events import Request, Response
from gateway.problem_details import MethodNotAllowedError

_METHODS = ("GET", "POST", "DELETE", "PUT")
"""All methods that routes have, and PUT in place of any other method."""


@dataclass(frozen=True)
class Route:
    """One method of one path. `path` in the notation of Powertools: `/jobs/<id>`. `action` takes the request and the
    path's parameters, and returns the response."""

    method: str
    path: str
    action: Callable[..., Response]


class Api(Protocol):
    """A group of routes that follow one convention, for example the native API."""

    def routes(self) -> list[Route]: ...


class _Resolver(APIGatewayRestResolver):
    """Powertools' resolver with the current event on the instance: Powertools keeps it on a class, for all threads."""

    def _to_proxy_event(self, event: dict[str, Any]) -> BaseProxyEvent:
        self.current_event = super()._to_proxy_event(event)  # type: ignore[assignment]
        return self.current_event


class Router:
    """Dispatches requests to routes by Powertools. It takes one request at a time, so each thread needs its own."""

    def __init__(self, apis: Sequence[Api]) -> None:
        self._app = _Resolver()
        self._app.not_found(_not_found)
        self._app.exception_handler(Exception)(_reraise)
        allowed: dict[str, list[str]] = {}
        for route in (route for api in apis for route in api.routes()):
            self._app.route(route.path, route.method)(self._handler(route.action))
            allowed.setdefault(route.path, []).extend(["GET", "HEAD"] if route.method == "GET" else [route.method])
        for path, methods in allowed.items():
            others = [method for method in _METHODS if method not in methods]
            self._app.route(path, others)(_method_not_allowed(methods))

    def respond(self, request: Request) -> Response:
        """Return the route's response; for HEAD that of GET.

        Raises EaselError: those of routes, `not_found`, `method_not_allowed`.
        """
        self._app.append_context(request=request)  # type: ignore[no-untyped-call]
        method = "GET" if request.method == "HEAD" else request.method
        method = method if method in _METHODS else _METHODS[-1]
        event = {"httpMethod": method, "path": request.path, "headers": {}, "requestContext": {"stage": ""}}
        self._app.resolve(event, None)  # type: ignore[arg-type]  # nothing reads the Lambda context
        return self._response

    def _handler(self, action: Callable[..., Response]) -> Callable[..., PowertoolsResponse[str]]:
        def run(**params: str) -> PowertoolsResponse[str]:
            self._response = action(self._app.context["request"], **params)
            return PowertoolsResponse(self._response.status)

        return run


def _reraise(error: Exception) -> PowertoolsResponse[str]:
    """Raise the error. By default Powertools logs it with a traceback that quotes the request."""
    raise error


def _not_found(_: Exception) -> PowertoolsResponse[str]:
    raise EaselError("not_found", "there is no such route", hint="GET /openapi.json lists the routes.")


def _method_not_allowed(methods: Sequence[str]) -> Callable[..., PowertoolsResponse[str]]:
    def run(**_: str) -> PowertoolsResponse[str]:
        raise MethodNotAllowedError(methods)

    return run
