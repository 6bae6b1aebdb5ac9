"""AWS::S3::Bucket with what MiniStack 1.5.33 lacks: tags, encryption, lifecycle, name rules, no deletion when full."""

import re
from collections.abc import Callable
from typing import Any

from ..aws_api.service import Parameters

Created = tuple[str, Parameters]
"""Physical id, attributes."""
KNOWN = {"Id", "Status", "Prefix", "TagFilters", "ExpirationInDays"}
INTEGER_BLOCKS = {"AbortIncompleteMultipartUpload", "NoncurrentVersionExpiration"}
"""Parts of a lifecycle rule whose values are all integers."""


class Buckets:
    """Handlers of the type, around MiniStack's own."""

    def __init__(self, inner: dict[str, Any], client: Callable[[str], Any]) -> None:
        self.inner, self.client = inner, client

    def create(self, logical_id: str, properties: Parameters, stack: str) -> Created:
        name = properties.get("BucketName")
        if name and not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", name):
            raise ValueError(f"Bucket name should not contain uppercase characters: {name}")
        created: Created = self.inner["create"](logical_id, properties, stack)
        self._configure(created[0], properties)
        return created

    def update(self, name: str, old: Parameters, new: Parameters, stack: str) -> Created:
        updated: Created = self.inner["update"](name, old, new, stack)
        self._configure(updated[0], new)
        return updated

    def delete(self, name: str, properties: Parameters) -> None:
        s3 = self.client("s3")
        try:
            listing = s3.list_object_versions(Bucket=name, MaxKeys=1)
        except s3.exceptions.NoSuchBucket:
            return
        if listing.get("Versions") or listing.get("DeleteMarkers"):
            raise ValueError(
                "The bucket you tried to delete is not empty. You must delete all versions in the bucket. "
                f"(Service: S3, Status Code: 409, {name})"
            )
        self.inner["delete"](name, properties)

    def _configure(self, name: str, properties: Parameters) -> None:
        self._tag(name, properties)
        s3 = self.client("s3")
        if rules := [lifecycle_rule(rule) for rule in properties.get("LifecycleConfiguration", {}).get("Rules", [])]:
            s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})
        else:
            s3.delete_bucket_lifecycle(Bucket=name)
        encryption = properties.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", [])
        with_key = [rule for rule in encryption if "KMSMasterKeyID" in rule["ServerSideEncryptionByDefault"]]
        if rules := [encryption_rule(rule) for rule in with_key]:
            s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules})
        else:
            s3.delete_bucket_encryption(Bucket=name)

    def _tag(self, name: str, properties: Parameters) -> None:
        tags = [{"Key": tag["Key"], "Value": tag["Value"]} for tag in properties.get("Tags", [])]
        if tags:
            self.client("s3").put_bucket_tagging(Bucket=name, Tagging={"TagSet": tags})
        else:
            self.client("s3").delete_bucket_tagging(Bucket=name)


def lifecycle_rule(rule: Parameters) -> Parameters:
    """Return a template's rule in the form of S3's API. Raises ValueError for an unknown property."""
    if unknown := rule.keys() - KNOWN - INTEGER_BLOCKS:
        raise ValueError(f"{sorted(unknown)} of a lifecycle rule is not emulated")
    prefix, tags = rule.get("Prefix", ""), rule.get("TagFilters", [])
    rule_filter = {"And": {"Prefix": prefix, "Tags": tags}} if tags else {"Prefix": prefix}
    days = {"Expiration": {"Days": int(rule["ExpirationInDays"])}} if "ExpirationInDays" in rule else {}
    blocks = {name: {key: int(count) for key, count in rule[name].items()} for name in INTEGER_BLOCKS & rule.keys()}
    return {"Status": rule["Status"], "Filter": rule_filter, **days, **blocks}


def encryption_rule(rule: Parameters) -> Parameters:
    """Return a rule with a customer's key in the form of S3's API. MiniStack knows no AWS managed key."""
    bucket_key = str(rule.get("BucketKeyEnabled", False)).lower() == "true"
    return {"ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"], "BucketKeyEnabled": bucket_key}
