"""S3's lifecycle rules, applied for a later day. MiniStack 1.5.33 keeps the rules and applies none.

Source: "Lifecycle configuration elements" and "Expiring objects" in the user guide of S3.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ..aws_api.service import Parameters

KNOWN = {"ID", "Status", "Filter", "Prefix", "Expiration", "AbortIncompleteMultipartUpload"}


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Days after which objects expire, and after which incomplete uploads are aborted. None: never."""

    prefix: str
    tags: Mapping[str, str]
    object_days: int | None
    upload_days: int | None

    @classmethod
    def parse(cls, content: Parameters) -> "Rule":
        """Return a rule of S3's API. Raises ValueError for what S3 refuses or this module does not know."""
        rule_filter = content.get("Filter", {})
        both = rule_filter.get("And", {})
        pairs = both.get("Tags", [rule_filter["Tag"]] if "Tag" in rule_filter else [])
        sizes = {name for part in (rule_filter, both) for name in part if name.startswith("ObjectSize") and part[name]}
        unknown = sizes | (content.keys() - KNOWN) | (content.get("Expiration", {}).keys() - {"Days"})
        if unknown:
            raise ValueError(f"{sorted(unknown)} of a lifecycle rule is not emulated")
        uploads = content.get("AbortIncompleteMultipartUpload", {}).get("DaysAfterInitiation")
        if uploads is not None and pairs:
            raise ValueError("AbortIncompleteMultipartUpload cannot be specified with Tags.")
        return cls(
            prefix=both.get("Prefix", rule_filter.get("Prefix", content.get("Prefix", ""))),
            tags={tag["Key"]: tag["Value"] for tag in pairs},
            object_days=content.get("Expiration", {}).get("Days"),
            upload_days=uploads,
        )

    def expires(self, key: str, tags: Mapping[str, str], modified: datetime, now: datetime) -> bool:
        if self.object_days is None or not key.startswith(self.prefix) or not self.tags.items() <= tags.items():
            return False
        return due(modified, self.object_days) <= now

    def aborts(self, key: str, initiated: datetime, now: datetime) -> bool:
        if self.upload_days is None or not key.startswith(self.prefix):
            return False
        return due(initiated, self.upload_days) <= now


def due(start: datetime, days: int) -> datetime:
    """Return `start` plus `days`, rounded up to the next midnight in UTC."""
    later = start.astimezone(UTC) + timedelta(days=days)
    midnight = later.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight if midnight == later else midnight + timedelta(days=1)


def apply_rules(s3: Any, bucket: str, days: float) -> tuple[set[str], set[str]]:
    """Delete what the bucket's rules delete within `days` from now. Return the keys of objects and of uploads.

    Raises ValueError for a bucket with versions.
    """
    if s3.get_bucket_versioning(Bucket=bucket).get("Status"):
        raise ValueError(f"{bucket} keeps versions, which are not emulated")
    configuration = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    rules = [Rule.parse(rule) for rule in configuration if rule["Status"] == "Enabled"]
    now = datetime.now(UTC) + timedelta(days=days)
    expired = {key for key, modified in _objects(s3, bucket) if _expires(s3, bucket, key, modified, rules, now)}
    for key in expired:
        s3.delete_object(Bucket=bucket, Key=key)
    uploads = [upload for upload in _uploads(s3, bucket) if _aborts(upload, rules, now)]
    for upload in uploads:
        s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    return expired, {upload["Key"] for upload in uploads}


def _aborts(upload: Parameters, rules: list[Rule], now: datetime) -> bool:
    return any(rule.aborts(upload["Key"], upload["Initiated"], now) for rule in rules)


def _expires(s3: Any, bucket: str, key: str, modified: datetime, rules: list[Rule], now: datetime) -> bool:
    pairs = s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
    tags = {tag["Key"]: tag["Value"] for tag in pairs}
    return any(rule.expires(key, tags, modified, now) for rule in rules)


def _objects(s3: Any, bucket: str) -> Iterator[tuple[str, datetime]]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        yield from ((item["Key"], item["LastModified"]) for item in page.get("Contents", []))


def _uploads(s3: Any, bucket: str) -> Iterator[Parameters]:
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        yield from page.get("Uploads", [])
