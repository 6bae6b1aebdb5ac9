"""S3's lifecycle rules, played: what is gone so many days later. MiniStack 1.5.33 keeps the rules and applies none.

Source: "Lifecycle configuration elements" and "Expiring objects" in the user guide of S3.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from .service import Parameters

KNOWN = {"ID", "Status", "Filter", "Prefix", "Expiration", "AbortIncompleteMultipartUpload"}


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Days after which objects expire and after which uploads that were not completed are aborted; None: never."""

    prefix: str
    tags: Mapping[str, str]
    object_days: int | None
    upload_days: int | None

    @classmethod
    def parse(cls, told: Parameters) -> "Rule":
        """A rule as S3's API has it. Raises ValueError for what S3 refuses or is not played here."""
        found = told.get("Filter", {})
        both = found.get("And", {})
        pairs = both.get("Tags", [found["Tag"]] if "Tag" in found else [])
        sizes = {name for part in (found, both) for name in part if name.startswith("ObjectSize") and part[name]}
        unknown = sizes | (told.keys() - KNOWN) | (told.get("Expiration", {}).keys() - {"Days"})
        if unknown:
            raise ValueError(f"{sorted(unknown)} of a lifecycle rule is not in the stand-in")
        uploads = told.get("AbortIncompleteMultipartUpload", {}).get("DaysAfterInitiation")
        if uploads is not None and pairs:
            raise ValueError("AbortIncompleteMultipartUpload cannot be specified with Tags.")
        return cls(
            prefix=both.get("Prefix", found.get("Prefix", told.get("Prefix", ""))),
            tags={one["Key"]: one["Value"] for one in pairs},
            object_days=told.get("Expiration", {}).get("Days"),
            upload_days=uploads,
        )

    def expires(self, key: str, tags: Mapping[str, str], made: datetime, now: datetime) -> bool:
        if self.object_days is None or not key.startswith(self.prefix) or not self.tags.items() <= tags.items():
            return False
        return due(made, self.object_days) <= now

    def aborts(self, key: str, begun: datetime, now: datetime) -> bool:
        return self.upload_days is not None and key.startswith(self.prefix) and due(begun, self.upload_days) <= now


def due(made: datetime, days: int) -> datetime:
    """So many days later, rounded up to the next midnight in UTC."""
    later = made.astimezone(UTC) + timedelta(days=days)
    midnight = later.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight if midnight == later else midnight + timedelta(days=1)


def play(s3: Any, bucket: str, days: float) -> tuple[set[str], set[str]]:
    """Takes away what the bucket's rules would have taken `days` from now: keys of objects, and of uploads."""
    if s3.get_bucket_versioning(Bucket=bucket).get("Status"):
        raise ValueError(f"{bucket} keeps versions, which the stand-in does not know")
    told = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    rules = [Rule.parse(one) for one in told if one["Status"] == "Enabled"]
    now = datetime.now(UTC) + timedelta(days=days)
    gone = {key for key, made in _objects(s3, bucket) if _expires(s3, bucket, key, made, rules, now)}
    for key in gone:
        s3.delete_object(Bucket=bucket, Key=key)
    uploads = [one for one in _uploads(s3, bucket) if _aborts(one, rules, now)]
    for one in uploads:
        s3.abort_multipart_upload(Bucket=bucket, Key=one["Key"], UploadId=one["UploadId"])
    return gone, {one["Key"] for one in uploads}


def _aborts(upload: Parameters, rules: list[Rule], now: datetime) -> bool:
    return any(rule.aborts(upload["Key"], upload["Initiated"], now) for rule in rules)


def _expires(s3: Any, bucket: str, key: str, made: datetime, rules: list[Rule], now: datetime) -> bool:
    pairs = s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
    tags = {one["Key"]: one["Value"] for one in pairs}
    return any(rule.expires(key, tags, made, now) for rule in rules)


def _objects(s3: Any, bucket: str) -> Iterator[tuple[str, datetime]]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        yield from ((item["Key"], item["LastModified"]) for item in page.get("Contents", []))


def _uploads(s3: Any, bucket: str) -> Iterator[Parameters]:
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        yield from page.get("Uploads", [])
