"""The log of an endpoint that did not start. `custom_resources/endpoint_start.py` has kept it in the bucket."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from easel.cloud.account import Account, aws_errors
from easel.cloud.known_failures import advice_for
from easel.cloud.stack_state import outputs_of
from stacks.config.names import FAILED_STARTS


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
