"""API Gateway: AWS's own host names, the API key in the event of a function, and MOCK with binary media types.

MiniStack 1.5.33 knows hosts of localhost only, checks the key without passing it on, and lets a MOCK integration read
a template that is binary.

Source: API Gateway's developer guide, "Input format of a Lambda function for proxy integration".
"""

import re
from typing import Any

from ministack import app
from ministack.services import apigateway_v1

HOST = re.compile(r"^([a-f0-9]{8})\.execute-api\.(?:localhost|[a-z0-9-]+\.amazonaws\.com)(?::\d+)?$")


def install() -> None:
    """Accept AWS's host names, add `apiKey` and `apiKeyId` to the context, and refuse templates that are binary."""
    app._EXECUTE_API_RE = HOST
    build_event = apigateway_v1._build_lambda_event_v1

    def build_event_with_key(*arguments: Any, **named: Any) -> dict[str, Any]:
        event: dict[str, Any] = build_event(*arguments, **named)
        key = apigateway_v1._resolve_api_key(apigateway_v1._api_key_from_request(event["headers"]))
        if key:
            event["requestContext"]["identity"] |= {"apiKey": key["value"], "apiKeyId": key["id"]}
        return event

    apigateway_v1._build_lambda_event_v1 = build_event_with_key
    invoke_mock = apigateway_v1._invoke_mock_v1

    def invoke_mock_of_text(integration: dict[str, Any]) -> Any:
        """Every API of the tests has the binary media type `*/*`, as CONVERT_TO_TEXT is for."""
        if integration.get("contentHandling") != "CONVERT_TO_TEXT":
            return 500, {"Content-Type": "application/json"}, b'{"message": "Internal server error"}'
        return invoke_mock(integration)

    apigateway_v1._invoke_mock_v1 = invoke_mock_of_text
