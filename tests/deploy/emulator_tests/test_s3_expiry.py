"""S3's lifecycle rules as the emulator applies them, on moto's S3."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.deploy.emulator.cloudformation_types.buckets import lifecycle_rule
from tests.deploy.emulator.services.s3_expiry import Rule, apply_rules, due

TAG = {"Key": "easel:release", "Value": "unreferenced"}


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("s3", "us-east-1")
        client.create_bucket(Bucket="store")
        yield client


def put_rules(s3: Any, *properties: dict[str, Any]) -> None:
    """Set rules by their properties in a template."""
    rules = [lifecycle_rule({"Status": "Enabled", **rule}) for rule in properties]
    s3.put_bucket_lifecycle_configuration(Bucket="store", LifecycleConfiguration={"Rules": rules})


def put_objects(s3: Any, *keys: str, **tags: str) -> None:
    for key in keys:
        s3.put_object(Bucket="store", Key=key, Body=b"x", Tagging="&".join(f"{k}={v}" for k, v in tags.items()))


@pytest.mark.parametrize(
    ("start", "days", "expected"),
    [("15T10:30", 3, "19T00:00"), ("15T00:00", 3, "18T00:00"), ("15T23:59", 1, "17T00:00")],
)
def test_days_are_rounded_up_to_midnight(start: str, days: int, expected: str) -> None:
    """The first case is the example in S3's guide."""
    times = [datetime.fromisoformat(f"2014-01-{time}").replace(tzinfo=UTC) for time in (start, expected)]
    assert due(times[0], days) == times[1]


def test_objects_with_the_prefix_expire_after_their_days(s3: Any) -> None:
    put_rules(s3, {"Prefix": "jobs/", "ExpirationInDays": 14})
    put_objects(s3, "jobs/1", "releases/1")
    assert apply_rules(s3, "store", 13.9) == (set(), set())
    assert apply_rules(s3, "store", 15) == ({"jobs/1"}, set())
    assert [item["Key"] for item in s3.list_objects_v2(Bucket="store")["Contents"]] == ["releases/1"]


def test_tag_must_have_the_rules_value(s3: Any) -> None:
    put_rules(s3, {"Prefix": "releases/", "TagFilters": [TAG], "ExpirationInDays": 1})
    put_objects(s3, "releases/plain")
    put_objects(s3, "releases/other", **{"easel:release": "kept"})
    put_objects(s3, "releases/old", "jobs/tagged", **{"easel:release": "unreferenced"})
    assert apply_rules(s3, "store", 2) == ({"releases/old"}, set())


def test_incomplete_upload_is_aborted_and_objects_stay(s3: Any) -> None:
    """moto's uploads all begin in 2010."""
    put_rules(s3, {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}})
    s3.create_multipart_upload(Bucket="store", Key="releases/1")
    put_objects(s3, "releases/2")
    assert apply_rules(s3, "store", 2) == (set(), {"releases/1"})
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="store")
    assert s3.list_objects_v2(Bucket="store")["KeyCount"] == 1


def test_upload_is_aborted_after_its_days() -> None:
    rule = Rule.parse({"Prefix": "releases/", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}})
    initiated, early, late = (datetime(2014, 1, day, 10, tzinfo=UTC) for day in (15, 16, 17))
    assert not rule.aborts("releases/1", initiated, early)
    assert rule.aborts("releases/1", initiated, late)
    assert not rule.aborts("jobs/1", initiated, late)


def test_disabled_rule_does_nothing(s3: Any) -> None:
    put_rules(s3, {"Status": "Disabled", "ExpirationInDays": 1}, {"Prefix": "none/", "ExpirationInDays": 1})
    put_objects(s3, "jobs/1")
    assert apply_rules(s3, "store", 9) == (set(), set())


def test_bucket_with_versions_is_refused(s3: Any) -> None:
    s3.put_bucket_versioning(Bucket="store", VersioningConfiguration={"Status": "Enabled"})
    with pytest.raises(ValueError, match="versions"):
        apply_rules(s3, "store", 1)


@pytest.mark.parametrize(
    ("rule", "part"),
    [
        ({"Filter": {"ObjectSizeGreaterThan": 5}, "Expiration": {"Days": 1}}, "ObjectSizeGreaterThan"),
        ({"Filter": {"Prefix": ""}, "NoncurrentVersionExpiration": {"NoncurrentDays": 1}}, "NoncurrentVersion"),
        ({"Filter": {"Prefix": ""}, "Expiration": {"Date": "2030-01-01"}}, "Date"),
        ({"Filter": {"Tag": TAG}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}, "AbortIncomplete"),
    ],
)
def test_unknown_rule_is_refused(rule: dict[str, Any], part: str) -> None:
    with pytest.raises(ValueError, match=part):
        Rule.parse({"Status": "Enabled", **rule})


def test_unknown_property_of_a_template_is_refused() -> None:
    with pytest.raises(ValueError, match="Transitions"):
        lifecycle_rule({"Status": "Enabled", "Transitions": []})
