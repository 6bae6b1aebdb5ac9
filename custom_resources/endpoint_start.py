"""Custom resource: watches the first start of an endpoint. If it fails, the container's last log lines are kept.

CloudFormation creates it beside the endpoint, and deletes it before the endpoint's log group. So the lines are in its
reason and in the bucket when the rollback has deleted the log group. A new endpoint has had no request, so its log has
no prompt.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from .names import ENDPOINT_WAIT_SECONDS, failed_start_key
from .response import NO_ID, RETRIES, Event, Result, continue_in_next_invocation, make_handler, printable, truncate

POLL_SECONDS = 5
APPEAR_SECONDS = 300
"""CloudFormation calls CreateEndpoint at about the time of this resource's creation, or never."""
STREAMS, LINES, LINE_CHARACTERS = 50, 100, 500
ESSENCE_LINES, ESSENCE_BYTES = 3, 500
DATA_LOG = "/data-log"
"""End of the names of streams that are no container's."""

_SECRET = re.compile(
    r"\bhf_\w{8,}|\b(?:AKIA|ASIA)[A-Z0-9]{12,}|(?<=X-Amz-Signature=)\w+|(?<=X-Amz-Security-Token=)[\w%]+"
)
_ERROR = re.compile(r"error|exception|exit|killed|cannot|no module|no space", re.IGNORECASE)


class NotStartedError(RuntimeError):
    """The endpoint did not start: SageMaker's reason, and the lines of the container's log that look like the cause."""


def handler(event: Event, context: Any) -> None:
    make_handler(lambda event: watch(event, context), stop=keep_unless_started)(event, context)


def watch(event: Event, context: Any) -> Result | None:
    """Wait until a new endpoint has started. The physical id of an endpoint that has started is its name.

    Returns None if another invocation continues. Raises NotStartedError. Whatever else goes wrong fails no deploy.
    """
    endpoint = event["ResourceProperties"]["Endpoint"]
    if event.get("PhysicalResourceId") == endpoint:
        return endpoint, {}
    since, appeared = float(event.get("Since") or time.time()), bool(event.get("Appeared"))
    while (waited := time.time() - since) < (ENDPOINT_WAIT_SECONDS if appeared else APPEAR_SECONDS):
        status, reason = _describe(endpoint)
        if status == "Failed":
            raise NotStartedError(f"{endpoint} did not start: {reason} {_essence(keep(event, reason))}")
        if status not in ("", "Creating") or (appeared and not status):
            break
        appeared = bool(status)
        print(f"{endpoint} is {status or 'not there yet'}, {waited:.0f} s so far")
        if continue_in_next_invocation(event, context, Since=since, Appeared=appeared):
            return None
        time.sleep(POLL_SECONDS)
    return endpoint, {}


def keep_unless_started(event: Event) -> None:
    """Keep the log of an endpoint if nobody has seen its start end: CloudFormation may notice a failure first."""
    if event.get("PhysicalResourceId") not in (event["ResourceProperties"]["Endpoint"], NO_ID):
        keep(event, "CloudFormation rolled its creation back.")


def keep(event: Event, reason: str) -> Sequence[str]:
    """Write the last log lines, if there are any, into the bucket, and return them. Errors are only logged."""
    properties, lines = event["ResourceProperties"], list[str]()
    try:
        if lines := last_lines(properties["LogGroup"]):
            text = "\n".join([f"{properties['Endpoint']}: {reason}", *lines, ""])
            target = {"Bucket": properties["Bucket"], "Key": failed_start_key(properties["Endpoint"])}
            boto3.client("s3").put_object(**target, Body=text.encode(), ContentType="text/plain; charset=utf-8")
    except (BotoCoreError, ClientError) as error:
        print(f"the log is not kept: {error}")
    return lines


def last_lines(group: str) -> list[str]:
    """Return the last lines of the newest container, each with its time, shortened and without secrets."""
    logs = boto3.client("logs", config=RETRIES)
    streams = logs.describe_log_streams(logGroupName=group, orderBy="LastEventTime", descending=True, limit=STREAMS)
    names = [stream["logStreamName"] for stream in streams["logStreams"]]
    lines = []
    for name in [name for name in names if not name.endswith(DATA_LOG)][:1]:
        events = logs.get_log_events(logGroupName=group, logStreamName=name, limit=LINES, startFromHead=False)
        for item in events["events"]:
            moment = datetime.fromtimestamp(item["timestamp"] / 1000, UTC)
            lines.append(f"{moment:%Y-%m-%dT%H:%M:%SZ} {_readable(item['message'])}")
    return lines


def _readable(message: str) -> str:
    return printable(_SECRET.sub("…", message.rstrip()[:LINE_CHARACTERS])).replace("\n", " ")


def _essence(lines: Sequence[str]) -> str:
    """Return the last lines that look like errors, else the last lines; bounded, without their times."""
    texts = [line.partition(" ")[2] for line in lines]
    chosen = [text for text in texts if _ERROR.search(text)] or texts
    if not chosen:
        return "The container wrote no log."
    return truncate(f"Its log ends with: {' | '.join(chosen[-ESSENCE_LINES:])}", ESSENCE_BYTES)


def _describe(endpoint: str) -> tuple[str, str]:
    """Return status and reason of a failure; ("", "") if there is no such endpoint, "unknown" if it cannot be read."""
    try:
        description = boto3.client("sagemaker", config=RETRIES).describe_endpoint(EndpointName=endpoint)
    except (BotoCoreError, ClientError) as error:
        if "Could not find" in str(error):
            return "", ""
        print(f"{endpoint}: {error}")
        return "unknown", ""
    return str(description["EndpointStatus"]), str(description.get("FailureReason", ""))
