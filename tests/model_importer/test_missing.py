"""S3's refusals that mean that an object is missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from model_importer.missing import is_missing


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="store")
        client.put_object(Bucket="store", Key="here", Body=b"")
        yield client


@pytest.mark.parametrize(
    ("status", "key", "missing"),
    [(404, "gone", True), (403, "gone", True), (403, "her", True), (403, "here", False), (500, "gone", False)],
)
def test_a_refusal_means_missing(s3: Any, status: int, key: str, missing: bool) -> None:
    """403 is S3's response to a role that may only list by prefix, as the import's."""
    error = ClientError({"Error": {}, "ResponseMetadata": {"HTTPStatusCode": status}}, "HeadObject")
    assert is_missing(s3, "store", key, error) is missing
