"""Tells CloudFormation how a custom resource went."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import boto3
from botocore.config import Config

Event = Mapping[str, Any]
Made = tuple[str, dict[str, str]]
"""Physical id and attributes."""
HAND_OVER_MS = 60_000
PATIENT = Config(retries={"mode": "standard", "max_attempts": 10})
"""For who asks over and over: one refusal of a busy account ends neither a deploy nor a destroy."""


def answering(
    work: Callable[[Event], Made | None],
    stop: Callable[[Event], None] | None = None,
    wait: Callable[[Event], Made | None] | None = None,
) -> Callable[[Event, Any], None]:
    """A Lambda handler that runs `work(event)` and reports its end, good or bad; None is no end yet.

    Deleting keeps what was written until the bucket goes; `stop` may end what still runs, and fails no deletion. `wait`
    is the work of a deletion that has to come about.
    """

    def handler(event: Event, context: Any) -> None:
        here = event.get("PhysicalResourceId", "none")
        deleting = event["RequestType"] == "Delete"
        if deleting and not wait:
            _stop(stop, event)
            return _tell(event, here, {"Status": "SUCCESS"})
        try:
            made = wait(event) if deleting and wait else work(event)
        except Exception as error:
            reason = short(f"{type(error).__name__}: {error}", 900)
            print(reason)
            return _tell(event, here, {"Status": "FAILED", "Reason": f"{reason} (log: {context.log_stream_name})"})
        if made is None:
            return None
        return _tell(event, made[0], {"Status": "SUCCESS", "Data": made[1]})

    return handler


def handed_over(event: Event, context: Any, **kept: Any) -> bool:
    """Whether this run was near its end, and the function called itself with `kept` in the event to go on."""
    if context.get_remaining_time_in_millis() >= HAND_OVER_MS:
        return False
    again = json.dumps({**event, **kept}).encode()
    boto3.client("lambda").invoke(FunctionName=context.invoked_function_arn, InvocationType="Event", Payload=again)
    return True


def _stop(stop: Callable[[Event], None] | None, event: Event) -> None:
    try:
        if stop:
            stop(event)
    except Exception as error:
        print(f"{type(error).__name__}: {error}")


def short(text: str, limit: int) -> str:
    """At most `limit` bytes of UTF-8: CloudFormation takes 4,096 in all, and fails without a word of them otherwise."""
    return text.encode(errors="replace")[:limit].decode(errors="ignore")


def _tell(event: Event, physical_id: str, outcome: dict[str, Any]) -> None:
    body = {key: event[key] for key in ("StackId", "RequestId", "LogicalResourceId")}
    request = urllib.request.Request(  # noqa: S310  the URL is CloudFormation's own
        event["ResponseURL"],
        data=json.dumps({**body, "PhysicalResourceId": physical_id, **outcome}, ensure_ascii=False).encode(),
        method="PUT",
        headers={"content-type": ""},
    )
    urllib.request.urlopen(request, timeout=30).close()  # noqa: S310
