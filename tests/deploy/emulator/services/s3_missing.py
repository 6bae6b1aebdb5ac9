"""S3's response for a missing object, which depends on the right to list. MiniStack 1.5.33 always responds 404.

Source: S3's API reference, GetObject and HeadObject: without s3:ListBucket the response is 403. The request has no
prefix, so a right that is limited to prefixes does not count.
"""

from typing import Any

from ministack.core import iam_evaluator
from ministack.services import s3

from ..aws_api.service import REGION


def install() -> None:
    """Put the check behind MiniStack's own function."""
    dispatch = s3._dispatch

    def checked_dispatch(method: str, bucket: str, key: str, headers: Any, body: bytes, query: Any) -> Any:
        response = dispatch(method, bucket, key, headers, body, query)
        if method in ("GET", "HEAD") and key and not query and response[0] == 404:
            caller = s3._request_access_key(method, key, headers, query, body)
            if iam_evaluator.enforce(caller, "s3:ListBucket", "s3", REGION, f"arn:aws:s3:::{bucket}"):
                return s3._error("AccessDenied", "Access Denied", 403)
        return response

    s3._dispatch = checked_dispatch
