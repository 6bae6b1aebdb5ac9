"""The resource on which CloudWatch Logs authorizes calls about streams. MiniStack 1.5.33 takes the group's ARN.

A policy that allows `log-group:NAME:*`, as the ARN of AWS::Logs::LogGroup is, would then allow no call.
Source: AWS's service authorization reference, resource type log-stream.
"""

import json
from typing import Any

from ministack.core import iam_actions

OPERATIONS = {"CreateLogStream", "DescribeLogStreams", "FilterLogEvents", "GetLogEvents", "PutLogEvents"}


def install() -> None:
    """Replace MiniStack's function."""
    extract = iam_actions.extract_resource_arn

    def extract_stream(service: str, method: str, path: str, headers: Any, body: bytes, *more: Any) -> Any:
        arn = extract(service, method, path, headers, body, *more)
        if service == "logs" and headers.get("x-amz-target", "").rpartition(".")[2] in OPERATIONS:
            return f"{arn}:log-stream:{json.loads(body).get('logStreamName', '')}"
        return arn

    iam_actions.extract_resource_arn = extract_stream
