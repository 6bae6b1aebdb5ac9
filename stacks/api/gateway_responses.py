"""The gateway's own error responses, in the format of the API's errors (`lambda/gateway/problem_details.py`)."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from aws_cdk import aws_apigateway as apigateway
from constructs import Construct

Type = apigateway.ResponseType


@dataclass(frozen=True)
class GatewayError:
    """A code of the contract with its status and title, and what to do.

    `plain`: `error` is a text, as clients of Hugging Face and AUTOMATIC1111 read it, in place of OpenAI's object.
    """

    code: str
    status: int
    title: str
    hint: str
    openai_type: str = "invalid_request_error"
    retry_after_s: int | None = None
    plain: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """OpenAI's clients send a request again after a 5xx, and pay for a second image, unless x-should-retry is
        false."""
        seconds = self.retry_after_s
        return {
            "Content-Type": "application/problem+json",
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Expose-Headers": "x-amzn-requestid, retry-after, x-should-retry",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            **({"Retry-After": str(seconds)} if seconds else {"x-should-retry": "false"}),
        }

    @property
    def template(self) -> str:
        """The body, in which the gateway replaces `$context.requestId`."""
        openai = {"message": self.title, "type": self.openai_type, "param": None, "code": self.code}
        return json.dumps(
            {
                "type": f"urn:easel:error:{self.code}",
                "title": self.title,
                "status": self.status,
                "detail": self.title,
                "instance": "urn:easel:request:$context.requestId",  # a template cannot escape the path
                "code": self.code,
                "request_id": "$context.requestId",
                "retryable": self.retry_after_s is not None,
                "retry_after_s": self.retry_after_s,
                "hint": self.hint,
                "invalid_params": [],
                "error": f"{self.title}. {self.hint}" if self.plain else openai,
            }
        )


_NO_KEY = GatewayError(
    "unauthorized",
    401,
    "No valid API key",
    "Send a valid key as x-api-key, as Authorization: Bearer or as the password of Basic; with api_auth=iam, sign.",
    "authentication_error",
)
_EXPIRED = GatewayError("unauthorized", 401, "No valid API key", "Sign the request again.", "authentication_error")
_FORBIDDEN = GatewayError("forbidden", 403, "Not allowed", "", "permission_error")
_BLOCKED = GatewayError(
    "forbidden",
    403,
    "Not allowed",
    "The firewall blocked the request: too many requests, or a suspicious one. Wait five minutes, or ask the operator.",
    "permission_error",
)
_MEDIA_TYPE = GatewayError(
    "unsupported_media_type", 415, "The body is not application/json", "Send content-type: application/json."
)
_QUOTA = GatewayError(
    "quota_exceeded", 429, "The API key's quota is used up", "Wait until tomorrow.", "rate_limit_error"
)
_TIMEOUT = GatewayError(
    "model_timeout", 504, "The endpoint did not respond in time", "Send GET /jobs to find the job.", "server_error"
)
_INTERNAL = GatewayError("internal", 500, "Internal error", "Read the function's log.", "server_error")

RESPONSES = {
    Type.INVALID_API_KEY: _NO_KEY,
    Type.MISSING_AUTHENTICATION_TOKEN: _NO_KEY,
    Type.UNAUTHORIZED: _NO_KEY,
    Type.EXPIRED_TOKEN: _EXPIRED,
    Type.RESOURCE_NOT_FOUND: GatewayError("not_found", 404, "Not found", "GET /openapi.json lists the routes."),
    Type.BAD_REQUEST_BODY: GatewayError("invalid_json", 400, "The body is not JSON", "Send one JSON object."),
    Type.DEFAULT_4_XX: _FORBIDDEN,
    Type.REQUEST_TOO_LARGE: GatewayError(
        "payload_too_large", 413, "The body is too large", "Send at most 4259840 bytes."
    ),
    Type.UNSUPPORTED_MEDIA_TYPE: _MEDIA_TYPE,
    Type.WAF_FILTERED: _BLOCKED,
    Type.THROTTLED: GatewayError("throttled", 429, "Too many requests", "Wait a little.", "rate_limit_error", 5),
    Type.QUOTA_EXCEEDED: _QUOTA,
    Type.INTEGRATION_TIMEOUT: _TIMEOUT,
    Type.INTEGRATION_FAILURE: _INTERNAL,
    Type.DEFAULT_5_XX: _INTERNAL,
}
"""The gateway uses one of the two defaults for a type that is not listed here."""
KEY_RESPONSES = {Type.ACCESS_DENIED: _NO_KEY, Type.UNAUTHORIZED: replace(_NO_KEY, plain=True)}
"""Those of an API with keys: its authorizer denies access, or at `BASIC_PATHS` asks for a password, without a valid
key."""
CHALLENGES = {"UNAUTHORIZED": "Basic", "ACCESS_DENIED": "Bearer"}
"""The header WWW-Authenticate of an API with keys. `lambda/api_keys/authorizer.py` chooses the type by the path."""


class GatewayResponses(Construct):
    """Problem documents with CORS headers, and a header that says whether to retry."""

    def __init__(self, scope: Construct, id: str, *, api: apigateway.RestApi, keys: bool) -> None:
        super().__init__(scope, id)
        errors, challenges = ({**RESPONSES, **KEY_RESPONSES}, CHALLENGES) if keys else (RESPONSES, {})
        by_name = {kind.response_type: (kind, error) for kind, error in errors.items()}  # equal types differ as objects
        for kind, error in by_name.values():
            challenge = challenges.get(kind.response_type)
            headers = {**error.headers, **({"WWW-Authenticate": f'{challenge} realm="Easel"'} if challenge else {})}
            api.add_gateway_response(
                kind.response_type,
                type=kind,
                status_code=str(error.status),
                response_headers={name: f"'{value}'" for name, value in headers.items()},
                templates={"application/json": error.template},
            )
