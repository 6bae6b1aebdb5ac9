"""The protocol of CloudFormation's custom resources: run the work, then send the response."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

Event = Mapping[str, Any]
Result = tuple[str, dict[str, str]]
"""Physical id and attributes of the resource."""
NO_ID = "none"
"""Physical id of a resource whose creation the function reported as failed."""
RESERVE_MS = 60_000
"""An invocation with less time left ends, and the next invocation continues."""
RETRIES = Config(retries={"mode": "standard", "max_attempts": 10})
"""For clients that poll: a single throttled call must not fail a deploy or a destroy."""


def make_handler(
    apply: Callable[[Event], Result | None],
    *,
    stop: Callable[[Event], None] | None = None,
    delete: Callable[[Event], Result | None] | None = None,
) -> Callable[[Event, Any], None]:
    """Return a Lambda handler that calls `apply` for create and update, and sends the result or the error.

    A result of None sends nothing: another invocation continues. A deletion succeeds without doing anything, so the
    objects stay until the bucket is deleted. `stop` ends what still runs, and its errors are only logged. `delete` is
    for work that a deletion needs, and its errors fail the deletion.
    """

    def handler(event: Event, context: Any) -> None:
        physical_id = event.get("PhysicalResourceId", NO_ID)
        deleting = event["RequestType"] == "Delete"
        if deleting and not delete:
            _try_stop(stop, event)
            return _send(event, physical_id, {"Status": "SUCCESS"})
        try:
            result = delete(event) if deleting and delete else apply(event)
        except Exception as error:
            reason = truncate(printable(f"{type(error).__name__}: {error}"), 900)
            print(reason)
            reason = f"{reason} (log: {context.log_stream_name})"
            return _send(event, physical_id, {"Status": "FAILED", "Reason": reason})
        if result is None:
            return None
        return _send(event, result[0], {"Status": "SUCCESS", "Data": result[1]})

    return handler


def continue_in_next_invocation(event: Event, context: Any, **state: Any) -> bool:
    """Invoke the function again, with `state` in its event, if this invocation is near its end. Return whether."""
    if context.get_remaining_time_in_millis() >= RESERVE_MS:
        return False
    payload = json.dumps({**event, **state}).encode()
    boto3.client("lambda").invoke(FunctionName=context.invoked_function_arn, InvocationType="Event", Payload=payload)
    return True


def truncate(text: str, limit: int) -> str:
    """Return at most `limit` bytes of UTF-8. CloudFormation rejects a response of more than 4,096 bytes."""
    return text.encode(errors="replace")[:limit].decode(errors="ignore")


def printable(text: str) -> str:
    r"""Return `text` with escapes such as `\x1b`: it may have a hub's file names, and its readers use a terminal."""
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode() for char in text
    )


def _try_stop(stop: Callable[[Event], None] | None, event: Event) -> None:
    try:
        if stop:
            stop(event)
    except Exception as error:
        print(f"{type(error).__name__}: {error}")


def _send(event: Event, physical_id: str, outcome: dict[str, Any]) -> None:
    body = {key: event[key] for key in ("StackId", "RequestId", "LogicalResourceId")}
    request = urllib.request.Request(  # noqa: S310  the scheme is checked
        _checked_url(event["ResponseURL"]),
        data=json.dumps({**body, "PhysicalResourceId": physical_id, **outcome}, ensure_ascii=False).encode(),
        method="PUT",
        headers={"content-type": ""},
    )
    urllib.request.urlopen(request, timeout=30).close()  # noqa: S310


def _checked_url(url: str) -> str:
    """Return CloudFormation's URL. Raises ValueError for what else urllib would open, such as a file.

    Plain HTTP is for an emulator on this machine only.
    """
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")):
        return url
    raise ValueError(f"the ResponseURL has the scheme {parts.scheme!r} and not https")
