"""S3's rules as `emulator/expiry.py` plays them, on an S3 of moto's."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.deploy.emulator.buckets import lifecycle_rule
from tests.deploy.emulator.expiry import Rule, due, play

TAG = {"Key": "easel:release", "Value": "unreferenced"}


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("s3", "us-east-1")
        client.create_bucket(Bucket="store")
        yield client


def rules(s3: Any, *told: dict[str, Any]) -> None:
    found = [lifecycle_rule({"Status": "Enabled", **one}) for one in told]
    s3.put_bucket_lifecycle_configuration(Bucket="store", LifecycleConfiguration={"Rules": found})


def put(s3: Any, *keys: str, **tag: str) -> None:
    for key in keys:
        s3.put_object(Bucket="store", Key=key, Body=b"x", Tagging="&".join(f"{k}={v}" for k, v in tag.items()))


@pytest.mark.parametrize(
    ("made", "days", "gone"),
    [("15T10:30", 3, "19T00:00"), ("15T00:00", 3, "18T00:00"), ("15T23:59", 1, "17T00:00")],
)
def test_days_are_rounded_up_to_midnight(made: str, days: int, gone: str) -> None:
    """The first is S3's own example."""
    at = [datetime.fromisoformat(f"2014-01-{one}").replace(tzinfo=UTC) for one in (made, gone)]
    assert due(at[0], days) == at[1]


def test_what_a_rule_names_goes_when_its_days_are_over(s3: Any) -> None:
    rules(s3, {"Prefix": "jobs/", "ExpirationInDays": 14})
    put(s3, "jobs/1", "releases/1")
    assert play(s3, "store", 13.9) == (set(), set())
    assert play(s3, "store", 15) == ({"jobs/1"}, set())
    assert [one["Key"] for one in s3.list_objects_v2(Bucket="store")["Contents"]] == ["releases/1"]


def test_a_tag_must_be_there_with_its_value(s3: Any) -> None:
    rules(s3, {"Prefix": "releases/", "TagFilters": [TAG], "ExpirationInDays": 1})
    put(s3, "releases/plain")
    put(s3, "releases/other", **{"easel:release": "kept"})
    put(s3, "releases/old", "jobs/tagged", **{"easel:release": "unreferenced"})
    assert play(s3, "store", 2) == ({"releases/old"}, set())


def test_an_upload_that_was_never_completed_goes_and_objects_stay(s3: Any) -> None:
    """moto began every upload in 2010."""
    rules(s3, {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}})
    s3.create_multipart_upload(Bucket="store", Key="releases/1")
    put(s3, "releases/2")
    assert play(s3, "store", 2) == (set(), {"releases/1"})
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="store")
    assert s3.list_objects_v2(Bucket="store")["KeyCount"] == 1


def test_an_upload_has_its_days_too() -> None:
    rule = Rule.parse({"Prefix": "releases/", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}})
    begun, early, late = (datetime(2014, 1, day, 10, tzinfo=UTC) for day in (15, 16, 17))
    assert not rule.aborts("releases/1", begun, early)
    assert rule.aborts("releases/1", begun, late)
    assert not rule.aborts("jobs/1", begun, late)


def test_a_rule_that_is_off_does_nothing(s3: Any) -> None:
    rules(s3, {"Status": "Disabled", "ExpirationInDays": 1}, {"Prefix": "none/", "ExpirationInDays": 1})
    put(s3, "jobs/1")
    assert play(s3, "store", 9) == (set(), set())


def test_versions_are_not_in_the_stand_in(s3: Any) -> None:
    s3.put_bucket_versioning(Bucket="store", VersioningConfiguration={"Status": "Enabled"})
    with pytest.raises(ValueError, match="keeps versions"):
        play(s3, "store", 1)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"Filter": {"ObjectSizeGreaterThan": 5}, "Expiration": {"Days": 1}}, "ObjectSizeGreaterThan"),
        ({"Filter": {"Prefix": ""}, "NoncurrentVersionExpiration": {"NoncurrentDays": 1}}, "NoncurrentVersion"),
        ({"Filter": {"Prefix": ""}, "Expiration": {"Date": "2030-01-01"}}, "Date"),
        ({"Filter": {"Tag": TAG}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}, "cannot be specified"),
    ],
)
def test_what_is_not_played_is_refused(told: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Rule.parse({"Status": "Enabled", **told})


def test_a_template_with_more_is_refused() -> None:
    with pytest.raises(ValueError, match="Transitions"):
        lifecycle_rule({"Status": "Enabled", "Transitions": []})
