"""The custom resource that tags old releases for deletion, against moto's S3 and SageMaker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError

from custom_resources import release_expiry
from custom_resources.response import RESERVE_MS
from tests.custom_resources.cloudformation import Context

RESULT: tuple[str, dict[str, str]] = ("release-expiry", {})
CURRENT = {"ResourceProperties": {"Bucket": "store", "Uris": ["s3://store/releases/c/"]}}


def tags(s3: Any, key: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = s3.get_object_tagging(Bucket="store", Key=key)["TagSet"]
    return found


def create_endpoint_config(uri: str, name: str) -> None:
    """Create an endpoint configuration whose model reads `uri`."""
    sagemaker, role = boto3.client("sagemaker"), "arn:aws:iam::123456789012:role/easel"
    source = {"S3Uri": uri, "S3DataType": "S3Prefix", "CompressionType": "None"}
    container = {"Image": "image", "ModelDataSource": {"S3DataSource": source}}
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=role, PrimaryContainer=container)
    variant = {"VariantName": "a", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])


def test_only_old_releases_that_are_not_in_use_expire(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [f"releases/{name}/{file}" for name in "abcdef" for file in ("model_index.json", "code/inference.py")]
    for key in keys:
        s3.put_object(Bucket="store", Key=key, Body=b"x")
    newest_first = {f"releases/{name}/": [key for key in keys if f"/{name}/" in key] for name in "fedcba"}
    monkeypatch.setattr(release_expiry, "_by_age", lambda *_: newest_first)
    create_endpoint_config("s3://store/releases/b/", "second")
    create_endpoint_config("s3://elsewhere/releases/a/", "foreign")
    boto3.client("sagemaker").delete_model(ModelName="foreign")
    release_expiry.expire(CURRENT, Context())
    expiring = {key.split("/")[1] for key in keys if tags(s3, key) == [release_expiry.TAG]}
    kept = {key.split("/")[1] for key in keys if tags(s3, key) == []}
    assert (expiring, kept) == (set("ad"), set("bcef"))


def test_releases_of_every_model_are_kept(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that a deploy has written for several models are in no configuration yet, and none is the newest."""
    for name in "abcdef":
        s3.put_object(Bucket="store", Key=f"releases/{name}/x", Body=b"x")
    newest_first = {f"releases/{name}/": [f"releases/{name}/x"] for name in "fedcba"}
    monkeypatch.setattr(release_expiry, "_by_age", lambda *_: newest_first)
    uris = ["s3://store/releases/a/", "s3://store/releases/f/"]
    release_expiry.expire({"ResourceProperties": {"Bucket": "store", "Uris": uris}}, Context())
    assert {name for name in "abcdef" if tags(s3, f"releases/{name}/x")} == {"b"}


def test_releases_are_grouped_by_prefix(s3: Any) -> None:
    for key in ("releases/a/x", "releases/b/x"):
        s3.put_object(Bucket="store", Key=key, Body=b"x")
    assert release_expiry._by_age(s3, "store").keys() == {"releases/a/", "releases/b/"}


def test_a_missing_bucket_fails_no_deploy(s3: Any) -> None:
    event = {"ResourceProperties": {"Bucket": "gone", "Uris": ["s3://gone/releases/c/"]}}
    assert release_expiry.expire(event, Context()) == RESULT


@pytest.mark.parametrize("problem", ["network", "time"])
def test_nothing_expires_unless_every_configuration_was_read(
    s3: Any, monkeypatch: pytest.MonkeyPatch, problem: str
) -> None:
    """An account may have thousands of configurations."""
    for name in "abcd":
        s3.put_object(Bucket="store", Key=f"releases/{name}/x", Body=b"x")
    create_endpoint_config("s3://store/releases/b/", "second")
    if problem == "network":
        error = EndpointConnectionError(endpoint_url="x")
        monkeypatch.setattr(release_expiry, "_models", lambda *_: _raise(error))
    context = Context(RESERVE_MS - 1 if problem == "time" else 600_000)
    assert release_expiry.expire(CURRENT, context) == RESULT
    assert not any(tags(s3, f"releases/{name}/x") for name in "abcd")


def _raise(error: Exception) -> Iterator[str]:
    raise error
