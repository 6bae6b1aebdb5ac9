"""What MiniStack 1.5.33 forgets of AWS::S3::Bucket: tags, encryption, lifecycle, names, and that a full one stays."""

import re
from collections.abc import Callable
from typing import Any

from .service import Parameters

Made = tuple[str, Parameters]
PLAIN = {"Id", "Status", "Prefix", "TagFilters", "ExpirationInDays"}
COUNTED = {"AbortIncompleteMultipartUpload", "NoncurrentVersionExpiration"}
"""Of a lifecycle rule, what the stand-in knows: ours, and what the bucket of the CDK's bootstrap has."""


class Buckets:
    """The handlers of the type, around MiniStack's own."""

    def __init__(self, inner: dict[str, Any], client: Callable[[str], Any]) -> None:
        self.inner, self.client = inner, client

    def create(self, logical_id: str, properties: Parameters, stack: str) -> Made:
        name = properties.get("BucketName")
        if name and not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", name):
            raise ValueError(f"Bucket name should not contain uppercase characters: {name}")
        made: Made = self.inner["create"](logical_id, properties, stack)
        self._configure(made[0], properties)
        return made

    def update(self, name: str, old: Parameters, new: Parameters, stack: str) -> Made:
        made: Made = self.inner["update"](name, old, new, stack)
        self._configure(made[0], new)
        return made

    def delete(self, name: str, properties: Parameters) -> None:
        s3 = self.client("s3")
        try:
            found = s3.list_object_versions(Bucket=name, MaxKeys=1)
        except s3.exceptions.NoSuchBucket:
            return
        if found.get("Versions") or found.get("DeleteMarkers"):
            raise ValueError(
                "The bucket you tried to delete is not empty. You must delete all versions in the bucket. "
                f"(Service: S3, Status Code: 409, {name})"
            )
        self.inner["delete"](name, properties)

    def _configure(self, name: str, properties: Parameters) -> None:
        self._tag(name, properties)
        s3 = self.client("s3")
        if rules := [lifecycle_rule(one) for one in properties.get("LifecycleConfiguration", {}).get("Rules", [])]:
            s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})
        else:
            s3.delete_bucket_lifecycle(Bucket=name)
        told = properties.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", [])
        if rules := [encryption_rule(one) for one in told if "KMSMasterKeyID" in one["ServerSideEncryptionByDefault"]]:
            s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules})
        else:
            s3.delete_bucket_encryption(Bucket=name)

    def _tag(self, name: str, properties: Parameters) -> None:
        tags = [{"Key": tag["Key"], "Value": tag["Value"]} for tag in properties.get("Tags", [])]
        if tags:
            self.client("s3").put_bucket_tagging(Bucket=name, Tagging={"TagSet": tags})
        else:
            self.client("s3").delete_bucket_tagging(Bucket=name)


def lifecycle_rule(told: Parameters) -> Parameters:
    """A rule of the template as S3's API has it. Raises ValueError for what the stand-in does not know."""
    if unknown := told.keys() - PLAIN - COUNTED:
        raise ValueError(f"{sorted(unknown)} of a lifecycle rule is not in the stand-in")
    prefix, tags = told.get("Prefix", ""), told.get("TagFilters", [])
    chosen = {"And": {"Prefix": prefix, "Tags": tags}} if tags else {"Prefix": prefix}
    days = {"Expiration": {"Days": int(told["ExpirationInDays"])}} if "ExpirationInDays" in told else {}
    counted = {name: {key: int(count) for key, count in told[name].items()} for name in COUNTED & told.keys()}
    return {"Status": told["Status"], "Filter": chosen, **days, **counted}


def encryption_rule(told: Parameters) -> Parameters:
    """With a key that is named; MiniStack knows none of AWS's own."""
    key = str(told.get("BucketKeyEnabled", False)).lower() == "true"
    return {"ApplyServerSideEncryptionByDefault": told["ServerSideEncryptionByDefault"], "BucketKeyEnabled": key}
