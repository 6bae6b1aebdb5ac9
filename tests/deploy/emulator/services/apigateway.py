"""The API key in events of API Gateway, which MiniStack 1.5.33 leaves out."""

from typing import Any

from ministack.services import apigateway_v1


def install() -> None:
    """Add `identity.apiKey` and `apiKeyId` for methods that require a key, as AWS does."""
    build = apigateway_v1._build_lambda_event_v1

    def build_event(*arguments: Any, **named: Any) -> Any:
        event = build(*arguments, **named)
        resource, method = arguments[3], arguments[5]
        methods = resource.get("resourceMethods", {})
        if (methods.get(method) or methods.get("ANY") or {}).get("apiKeyRequired"):
            key = apigateway_v1._resolve_api_key(apigateway_v1._api_key_from_request(event["headers"]))
            event["requestContext"]["identity"] |= {"apiKey": key["value"], "apiKeyId": key["id"]}
        return event

    apigateway_v1._build_lambda_event_v1 = build_event
