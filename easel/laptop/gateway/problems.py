"""Errors of the gateway as HTTP responses, in the form of the API's own."""

from __future__ import annotations

import uuid

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from contract import EaselError
from gateway.problem_details import MEDIA_TYPE, problem, problem_headers

COMMON_HEADERS = {"access-control-allow-origin": "*", "x-content-type-options": "nosniff"}
"""As the API sends them. `*` is safe: the guard refuses pages of other sites, and no cookie is read."""


def problem_response(request: Request, error: EaselError) -> Response:
    body = problem(error, request.url.path, uuid.uuid4().hex)
    headers = {**problem_headers(error), "x-request-id": body.request_id, **COMMON_HEADERS}
    return Response(body.model_dump_json(), body.status, headers, MEDIA_TYPE)


async def on_easel_error(request: Request, error: EaselError) -> Response:
    return problem_response(request, error)


async def on_http_error(request: Request, error: HTTPException) -> Response:
    if error.status_code == 404:  # a line break in the path, which matches no route
        return problem_response(request, EaselError("not_found", "there is no such route"))
    if error.status_code == 405:
        message = f"{request.method} is not allowed on this path"
        return problem_response(request, EaselError("method_not_allowed", message))
    return Response(status_code=error.status_code, headers={"connection": "close"})


async def on_disconnect(request: Request, error: ClientDisconnect) -> Response:
    """Return a response that nobody receives."""
    return Response(status_code=400)
