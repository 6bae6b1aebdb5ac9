"""The emulator's AWS::S3::Bucket."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.deploy.emulator.cloudformation_types.buckets import Buckets


class VersionsClient:
    """An S3 client that lists `versions`."""

    def __init__(self, *versions: str) -> None:
        self.versions = list(versions)
        self.exceptions = SimpleNamespace(NoSuchBucket=KeyError)

    def list_object_versions(self, **_: Any) -> dict[str, Any]:
        return {"Versions": self.versions}


class RecordingClient:
    """An S3 client that records the last argument of each operation."""

    def __init__(self) -> None:
        self.requests: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return lambda **parameters: self.requests.update({name: [*parameters.values()][-1]})


def test_full_bucket_is_not_deleted() -> None:
    deleted: list[str] = []
    inner = {"delete": lambda name, _: deleted.append(name)}
    with pytest.raises(ValueError, match="not empty"):
        Buckets(inner, lambda _: VersionsClient("one")).delete("store", {})
    Buckets(inner, lambda _: VersionsClient()).delete("store", {})
    assert deleted == ["store"]


def test_template_configures_lifecycle_and_encryption() -> None:
    s3 = RecordingClient()
    inner: dict[str, Any] = {"create": lambda *_: ("store", {})}
    key = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "arn"}
    properties = {
        "LifecycleConfiguration": {"Rules": [{"Status": "Enabled", "Prefix": "jobs/", "ExpirationInDays": "14"}]},
        "BucketEncryption": {
            "ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": key, "BucketKeyEnabled": "true"}]
        },
    }
    Buckets(inner, lambda _: s3).create("Store", properties, "stack")
    rule = {"Status": "Enabled", "Filter": {"Prefix": "jobs/"}, "Expiration": {"Days": 14}}
    assert s3.requests["put_bucket_lifecycle_configuration"] == {"Rules": [rule]}
    default = {"ApplyServerSideEncryptionByDefault": key, "BucketKeyEnabled": True}
    assert s3.requests["put_bucket_encryption"] == {"Rules": [default]}
    Buckets({"update": inner["create"]}, lambda _: s3).update("store", properties, {}, "stack")
    assert {"delete_bucket_lifecycle", "delete_bucket_encryption"} <= s3.requests.keys()


def test_bucket_name_follows_the_rules() -> None:
    with pytest.raises(ValueError, match="uppercase"):
        Buckets({}, lambda _: VersionsClient()).create("Store", {"BucketName": "Store"}, "stack")
