"""API Gateway: AWS's own host names, and the API key in the event of a function.

MiniStack 1.5.33 knows hosts of localhost only, and checks the key without passing it on.

Source: API Gateway's developer guide, "Input format of a Lambda function for proxy integration".
"""

import re
from typing import Any

from ministack import app
from ministack.services import apigateway_v1

HOST = re.compile(r"^([a-f0-9]{8})\.execute-api\.(?:localhost|[a-z0-9-]+\.amazonaws\.com)(?::\d+)?$")


def install() -> None:
    """Accept AWS's host names, and add `apiKey` and `apiKeyId` to `requestContext.identity`."""
    app._EXECUTE_API_RE = HOST
    build_event = apigateway_v1._build_lambda_event_v1

    def build_event_with_key(*arguments: Any, **named: Any) -> dict[str, Any]:
        event: dict[str, Any] = build_event(*arguments, **named)
        key = apigateway_v1._resolve_api_key(apigateway_v1._api_key_from_request(event["headers"]))
        if key:
            event["requestContext"]["identity"] |= {"apiKey": key["value"], "apiKeyId": key["id"]}
        return event

    apigateway_v1._build_lambda_event_v1 = build_event_with_key
