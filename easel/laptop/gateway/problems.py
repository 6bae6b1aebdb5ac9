"""Errors of the gateway as HTTP responses, in the form of the API's own."""

from __future__ import annotations

import uuid

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from contract import EaselError
from easel.laptop.gateway.access import challenge
from gateway.problem_details import MethodNotAllowedError

COMMON_HEADERS = {"access-control-allow-origin": "*", "x-content-type-options": "nosniff"}
"""As the API sends them. `*` is safe: the guard refuses pages of other sites, and no cookie is read."""


class RangeNotSatisfiableError(EaselError):
    """A Range of which the file has no byte. `size`: bytes of the file."""

    def __init__(self, size: int) -> None:
        self.size = size
        hint = "Send a Range within the file, or none."
        super().__init__("range_not_satisfiable", f"the file has {size} bytes, and none of the Range", hint=hint)


def problem_response(request: Request, error: EaselError) -> Response:
    from routes.apis import render_error  # with the API's modules, which `HandlerPool.start` imports

    request_id = uuid.uuid4().hex
    response = render_error(error, request.url.path, request_id)
    headers = {**response.headers, "x-request-id": request_id, **COMMON_HEADERS}
    if isinstance(error, RangeNotSatisfiableError):
        headers["content-range"] = f"bytes */{error.size}"
    if error.code == "unauthorized":
        headers["www-authenticate"] = challenge(request.url.path)
    return Response(response.body, response.status, headers, response.media_type)


async def on_easel_error(request: Request, error: EaselError) -> Response:
    return problem_response(request, error)


async def on_http_error(request: Request, error: HTTPException) -> Response:
    if error.status_code == 404:  # a line break in the path, which matches no route
        return problem_response(request, EaselError("not_found", "there is no such route"))
    if error.status_code == 405:
        return problem_response(request, MethodNotAllowedError((error.headers or {})["Allow"].split(", ")))
    hint = "Send the request again, with the whole body at once."
    response = problem_response(request, EaselError("request_timeout", "the body did not arrive in time", hint=hint))
    response.headers["connection"] = "close"
    return response


async def on_disconnect(request: Request, error: ClientDisconnect) -> Response:
    """Return a response that nobody receives."""
    return Response(status_code=400)
