"""The API key in the event of a function. MiniStack 1.5.33 checks the key and does not pass it on.

Source: API Gateway's developer guide, "Input format of a Lambda function for proxy integration".
"""

from typing import Any

from ministack.services import apigateway_v1


def install() -> None:
    """Add `apiKey` and `apiKeyId` to `requestContext.identity`."""
    build_event = apigateway_v1._build_lambda_event_v1

    def build_event_with_key(*arguments: Any, **named: Any) -> dict[str, Any]:
        event: dict[str, Any] = build_event(*arguments, **named)
        key = apigateway_v1._resolve_api_key(apigateway_v1._api_key_from_request(event["headers"]))
        if key:
            event["requestContext"]["identity"] |= {"apiKey": key["value"], "apiKeyId": key["id"]}
        return event

    apigateway_v1._build_lambda_event_v1 = build_event_with_key
