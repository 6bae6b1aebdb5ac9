"""Tells CloudFormation how a custom resource went."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

Event = Mapping[str, Any]


def answering(work: Callable[[Event], tuple[str, dict[str, str]]]) -> Callable[[Event, Any], None]:
    """A Lambda handler that runs `work(event) -> (physical id, attributes)` and reports its end, good or bad.

    Deleting does nothing: what was written stays until the bucket goes.
    """

    def handler(event: Event, context: Any) -> None:
        here = event.get("PhysicalResourceId", "none")
        if event["RequestType"] == "Delete":
            return _tell(event, here, {"Status": "SUCCESS"})
        try:
            made, attributes = work(event)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"[:900]
            print(reason)
            return _tell(event, here, {"Status": "FAILED", "Reason": f"{reason} (log: {context.log_stream_name})"})
        return _tell(event, made, {"Status": "SUCCESS", "Data": attributes})

    return handler


def _tell(event: Event, physical_id: str, outcome: dict[str, Any]) -> None:
    body = {key: event[key] for key in ("StackId", "RequestId", "LogicalResourceId")}
    request = urllib.request.Request(  # noqa: S310  the URL is CloudFormation's own
        event["ResponseURL"],
        data=json.dumps({**body, "PhysicalResourceId": physical_id, **outcome}).encode(),
        method="PUT",
        headers={"content-type": ""},
    )
    urllib.request.urlopen(request, timeout=30).close()  # noqa: S310
