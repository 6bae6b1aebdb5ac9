"""API Gateway: AWS's own host names, and what MiniStack 1.5.33 lacks of keys, authorizers and MOCK.

MiniStack knows hosts of localhost only, checks the header x-api-key without passing the key on, and ignores the key
source AUTHORIZER. It lets a MOCK integration read a template that is binary.

Sources: API Gateway's developer guide, "Input format of a Lambda function for proxy integration", "Choose an API key
source in API Gateway", "Output from an API Gateway Lambda authorizer", "Use API Gateway Lambda authorizers".
"""

import fnmatch
import json
import re
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ministack import app
from ministack.services import apigateway_v1, lambda_svc
from ministack.services.cloudformation import provisioners

HOST = re.compile(r"^([a-f0-9]{8})\.execute-api\.(?:localhost|[a-z0-9-]+\.amazonaws\.com)(?::\d+)?$")
KEY_CHARACTERS = 128
USAGE_KEY: ContextVar[str] = ContextVar("USAGE_KEY", default="")
"""The key that counts the current request, as the authorizer says."""
MEMBER = "usageIdentifierKey"


def install() -> None:
    """Accept AWS's host names, count by the authorizer's key, pass keys on, and refuse what AWS refuses."""
    app._EXECUTE_API_RE = HOST
    authorize, invoke = apigateway_v1._authorize_request_v1, apigateway_v1._invoke_authorizer_lambda
    check_key, build_event = apigateway_v1._check_api_key, apigateway_v1._build_lambda_event_v1
    create_authorizer, create_key = apigateway_v1._create_authorizer, apigateway_v1._create_api_key

    async def authorize_request(*arguments: Any) -> Any:
        USAGE_KEY.set("")
        error, context = await authorize(*arguments)
        if context and MEMBER in context:
            USAGE_KEY.set(context[MEMBER])
            context = {name: value for name, value in context.items() if name != MEMBER}
        return error, context

    async def invoke_authorizer(authorizer: Any, event: Any, account: str, region: str) -> Any:
        if not _may_invoke(authorizer, event["methodArn"], account, region):
            return None
        result = await invoke(authorizer, event, account, region)
        if result is None or result.get("error"):
            return result
        body = _parse(result.get("body"))
        if not _is_flat(body.get("context")):
            return {"body": None}
        if key := body.get(MEMBER):  # MiniStack caches the context with the policy
            body["context"] = {**(body.get("context") or {}), MEMBER: key}
        return {**result, "body": body}

    def check_api_key(method: Any, api: str, stage: str, headers: Any) -> Any:
        return check_key(method, api, stage, {"x-api-key": _sent_key(api, headers)})

    def build_event_with_key(api: str, *arguments: Any, **named: Any) -> dict[str, Any]:
        event: dict[str, Any] = build_event(api, *arguments, **named)
        if key := apigateway_v1._resolve_api_key(_sent_key(api, event["headers"])):
            event["requestContext"]["identity"] |= {"apiKey": key["value"], "apiKeyId": key["id"]}
        return event

    apigateway_v1._authorize_request_v1, apigateway_v1._invoke_authorizer_lambda = authorize_request, invoke_authorizer
    apigateway_v1._check_api_key, apigateway_v1._build_lambda_event_v1 = check_api_key, build_event_with_key
    rest_apis = provisioners._RESOURCE_HANDLERS["AWS::ApiGateway::RestApi"]
    rest_apis["create"] = _with_key_source(rest_apis["create"])
    provisioners._APIGW_AUTHORIZER_PROPERTIES = tuple(
        (name, field, "" if name == "IdentitySource" else default)  # AWS has no default
        for name, field, default in provisioners._APIGW_AUTHORIZER_PROPERTIES
    )
    apigateway_v1._create_authorizer = lambda api, data: _authorizer_error(data) or create_authorizer(api, data)
    apigateway_v1._create_api_key = lambda data: _key_error(data) or create_key(data)
    apigateway_v1._invoke_mock_v1 = _of_text(apigateway_v1._invoke_mock_v1)


def _of_text(invoke_mock: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap MOCK: every API of the tests has the binary media type `*/*`, as CONVERT_TO_TEXT is for."""

    def wrapped(integration: dict[str, Any]) -> Any:
        if integration.get("contentHandling") != "CONVERT_TO_TEXT":
            return 500, {"Content-Type": "application/json"}, b'{"message": "Internal server error"}'
        return invoke_mock(integration)

    return wrapped


def _with_key_source(create: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the handler of AWS::ApiGateway::RestApi: MiniStack drops the key source of a new API."""

    def wrapped(logical_id: str, properties: Any, stack: str) -> Any:
        id, attributes = create(logical_id, properties, stack)
        apigateway_v1._rest_apis[id]["apiKeySource"] = properties.get("ApiKeySourceType", "HEADER")
        return id, attributes

    return wrapped


def _sent_key(api: str, headers: Any) -> str:
    """Return the key that counts a request: of the authorizer, or of the header, as the API's key source says."""
    source = (apigateway_v1._rest_apis.get(api) or {}).get("apiKeySource")
    return USAGE_KEY.get() if source == "AUTHORIZER" else str(apigateway_v1._api_key_from_request(headers))


def _may_invoke(authorizer: Any, method_arn: str, account: str, region: str) -> bool:
    """Return whether the function's policy lets API Gateway invoke it as this authorizer."""
    function = apigateway_v1._extract_lambda_ref_from_integration_uri(authorizer["authorizerUri"])
    _, config, name = lambda_svc._get_func_record_for_ref_in_scope(function, account_id=account, region=region)
    if config is None:
        return False
    arn = f"{method_arn.partition('/')[0]}/authorizers/{authorizer['id']}"
    policy = lambda_svc._functions.get_scoped(account, region, name)["policy"]
    return any(
        statement.get("Principal", {}).get("Service") == "apigateway.amazonaws.com"
        and fnmatch.fnmatchcase(arn, statement.get("Condition", {}).get("ArnLike", {}).get("AWS:SourceArn", "*"))
        for statement in policy["Statement"]
    )


def _parse(body: Any) -> dict[str, Any]:
    """Return an authorizer's output; empty if it is no object."""
    try:
        value = json.loads(body) if isinstance(body, str | bytes) else body
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {}


def _is_flat(context: Any) -> bool:
    """Return whether AWS takes the context: texts, numbers and booleans only."""
    return context is None or all(isinstance(value, str | int | float) for value in context.values())


def _authorizer_error(data: Any) -> Any:
    """Return AWS's error for an authorizer that caches results by nothing."""
    cached = int(data.get("authorizerResultTtlInSeconds") or 0) > 0
    if data.get("type") != "REQUEST" or not cached or data.get("identitySource"):
        return None
    message = "Identity source is required for a REQUEST authorizer with caching enabled"
    return apigateway_v1._v1_error("BadRequestException", message, 400)


def _key_error(data: Any) -> Any:
    """Return AWS's error for the value of an API key."""
    value = data.get("value")
    if value and len(value) > KEY_CHARACTERS:
        message = f"API Key value should be at most {KEY_CHARACTERS} characters"
        return apigateway_v1._v1_error("BadRequestException", message, 400)
    if value and any(key["value"] == value for key in apigateway_v1._api_keys.values()):
        return apigateway_v1._v1_error("ConflictException", "API Key already exists", 409)
    return None
