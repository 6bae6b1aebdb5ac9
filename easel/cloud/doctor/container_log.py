"""The newest lines of a CloudWatch log group whose streams are containers or builds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from easel.cloud.account import Account, aws_errors
from easel.console.errors import CommandError

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
