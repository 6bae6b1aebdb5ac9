"""What MiniStack 1.5.33 forgets of AWS::S3::Bucket: tags, the rules of names, and that a full one cannot be deleted."""

import re
from collections.abc import Callable
from typing import Any

from .service import Parameters

Made = tuple[str, Parameters]


class Buckets:
    """The handlers of the type, around MiniStack's own."""

    def __init__(self, inner: dict[str, Any], client: Callable[[str], Any]) -> None:
        self.inner, self.client = inner, client

    def create(self, logical_id: str, properties: Parameters, stack: str) -> Made:
        name = properties.get("BucketName")
        if name and not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", name):
            raise ValueError(f"Bucket name should not contain uppercase characters: {name}")
        made: Made = self.inner["create"](logical_id, properties, stack)
        self._tag(made[0], properties)
        return made

    def update(self, name: str, old: Parameters, new: Parameters, stack: str) -> Made:
        made: Made = self.inner["update"](name, old, new, stack)
        self._tag(made[0], new)
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

    def _tag(self, name: str, properties: Parameters) -> None:
        tags = [{"Key": tag["Key"], "Value": tag["Value"]} for tag in properties.get("Tags", [])]
        if tags:
            self.client("s3").put_bucket_tagging(Bucket=name, Tagging={"TagSet": tags})
        else:
            self.client("s3").delete_bucket_tagging(Bucket=name)
