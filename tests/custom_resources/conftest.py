"""Fixtures for the handlers: moto's AWS, and a server in CloudFormation's place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.custom_resources.cloudformation import CloudFormation, serve


@pytest.fixture
def cloudformation() -> Iterator[CloudFormation]:
    with serve() as server:
        yield server


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty account in us-east-1."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield


@pytest.fixture
def s3(aws: None) -> Any:
    """A client of S3 with the buckets `assets` and `store`."""
    client = boto3.client("s3")
    for bucket in ("assets", "store"):
        client.create_bucket(Bucket=bucket)
    return client
