"""The bucket of the releases: what is in it is not fetched again, from whichever release it can be copied."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import Executor
from typing import Any

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from .files import File
from .progress import Progress
from .stream import Fetch
from .upload import COPY, upload

RELEASES = "releases/"
COPYING = TransferConfig(multipart_threshold=COPY, multipart_chunksize=COPY, max_concurrency=8)
"""For copies inside S3, which move no byte here."""


class Bucket:
    """An object of a release carries its file's digest, and is there only if it was right."""

    def __init__(self, s3: Any, name: str) -> None:
        self.s3, self.name = s3, name
        self._places: dict[tuple[str, int], list[str]] = defaultdict(list)
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name, Prefix=RELEASES):
            for item in page.get("Contents", ()):
                _, _, path = item["Key"].removeprefix(RELEASES).partition("/")
                self._places[path, item["Size"]].append(item["Key"])

    def find(self, file: File, key: str) -> str:
        """The key of an object that is `file`, of all `key` itself first; empty if there is none."""
        places = self._places[file.path, file.size]
        return next((one for one in sorted(places, key=lambda one: one != key) if self._is(one, file)), "")

    def copy(self, source: dict[str, str], key: str, file: File, **extra: str) -> None:
        """By S3 itself, in parts where one copy would be too large. Old tags stay behind."""
        more = {"Metadata": _metadata(file), "MetadataDirective": "REPLACE", "TaggingDirective": "REPLACE", **extra}
        self.s3.copy(source, self.name, key, ExtraArgs=more, Config=COPYING)

    def put(self, key: str, body: bytes, file: File) -> None:
        self.s3.put_object(Bucket=self.name, Key=key, Body=body, Metadata=_metadata(file))

    def upload(self, key: str, file: File, fetch: Fetch, pool: Executor, progress: Progress) -> None:
        """In parts, of which a few wait in memory; goes on where a killed run ended. Raises ImportFailed."""
        upload(self.s3, {"Bucket": self.name, "Key": key}, file, fetch, pool, progress)

    def read(self, key: str) -> bytes | None:
        try:
            body: bytes = self.s3.get_object(Bucket=self.name, Key=key)["Body"].read()
            return body
        except self.s3.exceptions.NoSuchKey:
            return None

    def write_once(self, key: str, text: str) -> bytes:
        """What is there after this: `text`, or what somebody else wrote before."""
        try:
            self.s3.put_object(Bucket=self.name, Key=key, Body=text.encode(), IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise
        return self.read(key) or text.encode()

    def _is(self, key: str, file: File) -> bool:
        try:
            metadata = self.s3.head_object(Bucket=self.name, Key=key)["Metadata"]
        except ClientError as error:  # expired since it was listed
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            return False
        return bool(metadata.get("digest") == file.digest)


def _metadata(file: File) -> dict[str, str]:
    return {"digest": file.digest}
