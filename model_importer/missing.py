"""Whether S3 refused a call because the object does not exist."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError


def is_missing(s3: Any, bucket: str, key: str, error: ClientError) -> bool:
    """Return whether `error` means that the object does not exist.

    S3 responds 403 in place of 404 to a role that may only list by prefix; then the list shows it.
    """
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    if status != 403:
        return bool(status == 404)
    page = s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
    return not any(item["Key"] == key for item in page.get("Contents", ()))
