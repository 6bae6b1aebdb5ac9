"""The bucket of the releases. A file that any release has is copied from there, not fetched again."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from .files import File
from .missing import is_missing
from .progress import Progress
from .stream import Fetch
from .upload import COPY_BYTES, upload_file

RELEASES = "releases/"
_COPY_CONFIG = TransferConfig(multipart_threshold=COPY_BYTES, multipart_chunksize=COPY_BYTES, max_concurrency=8)
"""For copies inside S3, which move no bytes through this program."""


class Bucket:
    """Each object of a release has the digest of its file as metadata. It is written only if the digest was right."""

    def __init__(self, s3: Any, name: str) -> None:
        self.s3, self.name = s3, name
        self._keys: dict[tuple[str, int], list[str]] = defaultdict(list)
        """(path in a release, size) to keys."""
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name, Prefix=RELEASES):
            for item in page.get("Contents", ()):
                _, _, path = item["Key"].removeprefix(RELEASES).partition("/")
                self._keys[path, item["Size"]].append(item["Key"])

    def find(self, file: File, key: str) -> str:
        """Return the key of an object that is `file`, `key` itself first, or ""."""
        keys = sorted(self._keys[file.path, file.size], key=lambda candidate: candidate != key)
        return next((candidate for candidate in keys if self._has_digest(candidate, file)), "")

    def copy(self, source: dict[str, str], key: str, file: File, **arguments: str) -> None:
        """Copy inside S3, in parts if the file is large. Tags are not copied."""
        arguments |= {"MetadataDirective": "REPLACE", "TaggingDirective": "REPLACE"}
        extra = {"Metadata": _metadata(file), **arguments}
        self.s3.copy(source, self.name, key, ExtraArgs=extra, Config=_COPY_CONFIG)

    def put(self, key: str, body: bytes, file: File) -> None:
        self.s3.put_object(Bucket=self.name, Key=key, Body=body, Metadata=_metadata(file))

    def put_file(self, key: str, path: Path, file: File) -> None:
        """Upload a file of this machine."""
        self.s3.upload_file(str(path), self.name, key, ExtraArgs={"Metadata": _metadata(file)})

    def upload(self, key: str, file: File, fetch: Fetch, pool: Executor, progress: Progress) -> None:
        """Upload a large file in parts. Continues where a killed run stopped. Raises ModelImportError."""
        upload_file(self.s3, {"Bucket": self.name, "Key": key}, file, fetch, pool, progress)

    def read(self, key: str) -> bytes | None:
        """Return an object, or None if it does not exist."""
        try:
            body: bytes = self.s3.get_object(Bucket=self.name, Key=key)["Body"].read()
            return body
        except ClientError as error:
            if not is_missing(self.s3, self.name, key, error):
                raise
            return None

    def write_once(self, key: str, text: str) -> bytes:
        """Write `text` unless the object exists. Return what is in the object now."""
        try:
            self.s3.put_object(Bucket=self.name, Key=key, Body=text.encode(), IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise
        return self.read(key) or text.encode()

    def _has_digest(self, key: str, file: File) -> bool:
        try:
            metadata = self.s3.head_object(Bucket=self.name, Key=key)["Metadata"]
        except ClientError as error:  # expired since it was listed
            if not is_missing(self.s3, self.name, key, error):
                raise
            return False
        return bool(metadata.get("digest") == file.digest)


def _metadata(file: File) -> dict[str, str]:
    return {"digest": file.digest}
