"""Logs of containers and builds: the newest lines of a log group, and the log of an endpoint that did not start.

`custom_resources/endpoint_start.py` has kept the latter in the bucket: its log group is gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from easel.cloud.account import Account, aws_errors
from easel.cloud.known_failures import advice_for
from easel.cloud.stack_state import outputs_of
from easel.console.errors import CommandError
from stacks.config.names import FAILED_STARTS

STREAMS, LINES = 50, 50
DATA_LOG = "/data-log"
"""End of the names of the streams in which SageMaker logs the calls of an async endpoint.

They are in the same group as the containers' streams:
https://docs.aws.amazon.com/sagemaker/latest/dg/logging-cloudwatch.html
"""


def last_lines(account: Account, group: str) -> list[tuple[datetime, str]]:
    """Return time and text of the newest stream's last lines; empty if the group does not exist yet.

    Raises CommandError.
    """
    try:
        with aws_errors():
            return list(_newest_events(account, group))
    except CommandError as error:
        if error.where != "ResourceNotFoundException":
            raise
        return []


def _newest_events(account: Account, group: str) -> Iterator[tuple[datetime, str]]:
    logs = account.client("logs")
    streams = logs.describe_log_streams(logGroupName=group, orderBy="LastEventTime", descending=True, limit=STREAMS)
    names = [stream["logStreamName"] for stream in streams["logStreams"]]
    for name in [name for name in names if not name.endswith(DATA_LOG)][:1]:
        response = logs.get_log_events(logGroupName=group, logStreamName=name, limit=LINES, startFromHead=False)
        for event in response["events"]:
            yield datetime.fromtimestamp(event["timestamp"] / 1000, UTC), event["message"].rstrip()


def import_log(account: Account, logical_id: str) -> str:
    """Return the log group of an import. The id of the resource begins with `Model` and the id of a further model."""
    first = account.names.import_log_group
    if not logical_id.startswith("Model"):
        return first
    with aws_errors():
        groups = [
            str(group["logGroupName"])
            for group in account.items("logs", "describe_log_groups", "logGroups", logGroupNamePrefix=f"{first}/")
        ]
    ids = {group: re.sub("[^A-Za-z0-9]", "", group.removeprefix(first)) for group in groups}
    found = [group for group in groups if logical_id.startswith(f"Model{ids[group]}")]
    return max(found, key=len, default=first)


@dataclass(frozen=True)
class FailedStart:
    """The object's URI and its lines: the reason, then the container's last log lines, each with its time."""

    uri: str
    lines: tuple[str, ...]

    @property
    def advice(self) -> str:
        """The advice for the last line that reports a known failure; empty if none does."""
        return next((advice for line in reversed(self.lines[1:]) if (advice := advice_for(line))), "")


def find_failed_start(account: Account, since: datetime) -> FailedStart | None:
    """Return the newest log that was kept after `since`; None if there is none. Raises CommandError."""
    bucket = outputs_of(account).get(account.names.storage, {}).get("BucketName")
    if not bucket:
        return None
    with aws_errors():
        objects = [
            item for item in account.items("s3", "list_objects_v2", "Contents", Bucket=bucket, Prefix=FAILED_STARTS)
            if item["LastModified"] >= since
        ]  # fmt: skip
        if not objects:
            return None
        key = max(objects, key=lambda item: item["LastModified"])["Key"]
        body = account.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return FailedStart(f"s3://{bucket}/{key}", tuple(body.decode(errors="replace").splitlines()))
