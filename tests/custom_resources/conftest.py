"""Fixtures for the handlers: moto's AWS, and a server in CloudFormation's place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.sagemaker.models import sagemaker_backends

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


@pytest.fixture
def set_status(aws: None) -> Callable[[str], None]:
    """Sets the status of the endpoint `e`; empty: removes it."""
    sagemaker = boto3.client("sagemaker")
    sagemaker.create_model(ModelName="m", ExecutionRoleArn="arn:aws:iam::123456789012:role/r")
    variant = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
    endpoints = sagemaker_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].endpoints
    endpoint = endpoints["e"]

    def set_(status: str) -> None:
        endpoints.pop("e", None)
        if status:
            endpoint.endpoint_status = status
            endpoints["e"] = endpoint

    return set_
