"""The marker in the bucket with which the budget keeps the endpoint stopped."""

from __future__ import annotations

import json

from easel.cloud.account import Account, aws_errors
from easel.cloud.stack_state import outputs_of
from easel.console.errors import CommandError
from stacks.config.names import STOP_MARKER


def stopped_at(account: Account) -> str:
    """Return when the budget stopped the endpoint; empty if it has not. Raises CommandError."""
    bucket = _bucket(account)
    if not bucket:
        return ""
    try:
        with aws_errors():
            body = account.client("s3").get_object(Bucket=bucket, Key=STOP_MARKER)["Body"].read()
    except CommandError as error:
        if error.where != "NoSuchKey":
            raise
        return ""
    return str(json.loads(body)["stopped_at"])


def end_stop(account: Account) -> bool:
    """Delete the marker. Return whether the budget had stopped the endpoint. Raises CommandError."""
    if not stopped_at(account):
        return False
    with aws_errors():
        account.client("s3").delete_object(Bucket=_bucket(account), Key=STOP_MARKER)
    return True


def _bucket(account: Account) -> str:
    return outputs_of(account).get(account.names.storage, {}).get("BucketName", "")
