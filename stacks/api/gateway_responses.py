"""What the gateway says by itself, in the shape of the API's own errors (`lambda/gateway/problem_details.py`)."""

from __future__ import annotations

import json
from dataclasses import dataclass

from aws_cdk import aws_apigateway as apigateway
from constructs import Construct

Type = apigateway.ResponseType


@dataclass(frozen=True)
class Said:
    """One answer of the gateway: a code of the contract with its status and title, and the way out."""

    code: str
    status: int
    title: str
    hint: str
    openai_type: str = "invalid_request_error"
    retry_after_s: int | None = None


_NO_KEY = Said(
    "unauthorized",
    401,
    "No valid API key",
    "Send the key in the header x-api-key, or a signature where api_auth is iam.",
    "authentication_error",
)
_TIMEOUT = Said("model_timeout", 504, "The endpoint did not answer in time", "Ask GET /jobs.", "server_error")
_INTERNAL = Said("internal", 500, "Something went wrong in Easel", "Look into the function's log.", "server_error")

SAID = {
    Type.INVALID_API_KEY: _NO_KEY,
    Type.MISSING_AUTHENTICATION_TOKEN: _NO_KEY,
    Type.UNAUTHORIZED: _NO_KEY,
    Type.EXPIRED_TOKEN: Said("unauthorized", 401, "No valid API key", "Sign the request anew.", "authentication_error"),
    Type.RESOURCE_NOT_FOUND: Said("not_found", 404, "Not found", "GET /openapi.json lists the routes."),
    Type.BAD_REQUEST_BODY: Said("invalid_json", 400, "The body is not JSON", "Send one JSON object."),
    Type.DEFAULT_4_XX: Said("forbidden", 403, "Not allowed", "", "permission_error"),
    Type.REQUEST_TOO_LARGE: Said("payload_too_large", 413, "The body is too large", "Send at most 4259840 bytes."),
    Type.UNSUPPORTED_MEDIA_TYPE: Said(
        "unsupported_media_type", 415, "The body is not application/json", "Send content-type: application/json."
    ),
    Type.WAF_FILTERED: Said(
        "forbidden",
        403,
        "Not allowed",
        "The firewall refused it: too many requests, or one like an attack. Wait five minutes, or ask the operator.",
        "permission_error",
    ),
    Type.THROTTLED: Said("throttled", 429, "Too many requests", "Wait a little.", "rate_limit_error", 5),
    Type.QUOTA_EXCEEDED: Said(
        "quota_exceeded", 429, "The key's quota is spent", "It is filled again tomorrow.", "rate_limit_error"
    ),
    Type.INTEGRATION_TIMEOUT: _TIMEOUT,
    Type.INTEGRATION_FAILURE: _INTERNAL,
    Type.DEFAULT_5_XX: _INTERNAL,
}
"""A code the gateway does not list here falls to one of the two defaults."""


class GatewayResponses(Construct):
    """Problem documents with CORS headers, and the word whether to try again."""

    def __init__(self, scope: Construct, id: str, *, api: apigateway.RestApi) -> None:
        super().__init__(scope, id)
        for kind, said in SAID.items():
            again = {"Retry-After": f"'{said.retry_after_s}'"} if said.retry_after_s else {"x-should-retry": "'false'"}
            api.add_gateway_response(
                kind.response_type,
                type=kind,
                status_code=str(said.status),
                response_headers={
                    "Content-Type": "'application/problem+json'",
                    "Access-Control-Allow-Origin": "'*'",
                    "Access-Control-Expose-Headers": "'x-amzn-requestid, retry-after, x-should-retry'",
                    "Cache-Control": "'no-store'",
                    "X-Content-Type-Options": "'nosniff'",
                    **again,
                },
                templates={"application/json": _body(said)},
            )


def _body(said: Said) -> str:
    return json.dumps(
        {
            "type": f"urn:easel:error:{said.code}",
            "title": said.title,
            "status": said.status,
            "detail": said.title,
            "instance": "urn:easel:request:$context.requestId",  # the path would not be escaped here
            "code": said.code,
            "request_id": "$context.requestId",
            "retryable": said.retry_after_s is not None,
            "retry_after_s": said.retry_after_s,
            "hint": said.hint,
            "invalid_params": [],
            "error": {"message": said.title, "type": said.openai_type, "param": None, "code": said.code},
        }
    )
