"""Custom resource: unpacks zip assets into an immutable prefix of a bucket, as a stream, and copies nothing twice."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import zipfile
from collections.abc import Callable, Iterator
from typing import IO, Any

import boto3

from .response import Event, answering

NAME_BYTES = 255
"""The longest name of a file that SageMaker takes in uncompressed model data."""
BLOCK = 8 * 1024 * 1024
MANIFEST = "release.json"
LAST_MS = 30_000
"""Left for the answer, without which CloudFormation waits in vain and says nothing of why."""

Left = Callable[[], float]
"""Milliseconds that this run has yet."""


class RefusedError(ValueError):
    """A member of an archive that may not become an object."""


class TooLargeError(RuntimeError):
    """A model folder that a function cannot write in its time, and the way out."""


def handler(event: Event, context: Any) -> None:
    answering(lambda event: publish(event, context.get_remaining_time_in_millis))(event, context)


def publish(event: Event, left: Left) -> tuple[str, dict[str, str]]:
    """Writes every member of the parts below the prefix. The prefix names the content: what is there is right.

    With `Manifest` (JSON: where the model is from) it adds `release.json`, which has also the digest of every file.
    Raises RefusedError, TooLargeError.
    """
    asked = event["ResourceProperties"]
    bucket, prefix = asked["Bucket"], asked["Prefix"]
    s3 = boto3.client("s3")
    there = dict(_sizes(s3, bucket, prefix))
    for key in there:  # it may have been about to expire
        s3.delete_object_tagging(Bucket=bucket, Key=key)
    told = "Manifest" not in asked or prefix + MANIFEST in there
    files = [file for part in asked["Parts"] for file in _unpack(s3, bucket, prefix, part, there, told, left)]
    if not told:
        manifest = json.dumps({**json.loads(asked["Manifest"]), "files": files}, indent=1).encode()
        s3.put_object(Bucket=bucket, Key=prefix + MANIFEST, Body=manifest)
    uri = f"s3://{bucket}/{prefix}"
    return uri, {"Uri": uri}


def _unpack(
    s3: Any, bucket: str, prefix: str, part: dict[str, str], there: dict[str, int], told: bool, left: Left
) -> Iterator[dict[str, Any]]:
    """Every file of a part, once it is in the bucket; what is there already only if it is yet to be told of."""
    with zipfile.ZipFile(io.BufferedReader(RemoteFile(s3, part["Bucket"], part["Key"]), BLOCK)) as archive:
        for member in (one for one in archive.infolist() if not one.is_dir()):
            path = part["Below"] + checked_name(member)
            present = there.get(prefix + path) == member.file_size
            if present and told:
                continue
            with archive.open(member) as source:
                reading = ReadOnce(source, left)
                if present:
                    reading.exhaust()
                else:
                    s3.upload_fileobj(reading, bucket, prefix + path)
                    print(f"wrote {prefix}{path}, {member.file_size} bytes")
            yield {"path": path, "size": member.file_size, "digest": f"sha256:{reading.digest.hexdigest()}"}


def checked_name(member: zipfile.ZipInfo) -> str:
    """The member's name, if it stays below the prefix. Raises RefusedError."""
    name = member.filename
    if stat.S_ISLNK(member.external_attr >> 16):
        raise RefusedError(f"{name!r} is a symbolic link")
    if "\\" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise RefusedError(f"{name!r} does not stay below the release")
    if any(len(part.encode()) > NAME_BYTES for part in name.split("/")):
        raise RefusedError(f"{name[:80]!r}… is longer than {NAME_BYTES} bytes")
    return name


def _sizes(s3: Any, bucket: str, prefix: str) -> Iterator[tuple[str, int]]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", []):
            yield item["Key"], item["Size"]


class ReadOnce:
    """A member that cannot be wound back: to learn its size, the upload would read all of it and start again."""

    def __init__(self, source: IO[bytes], left: Left) -> None:
        self._source, self._left, self.digest = source, left, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        if self._left() < LAST_MS:
            raise TooLargeError(
                "The model folder is too large to be unpacked by a function, which ends after 15 minutes. Put its "
                "files into S3 and name their s3://…/ in the entry (docs/aws.md, A model folder of yours)"
            )
        data = self._source.read(size)
        self.digest.update(data)
        return data

    def exhaust(self) -> None:
        while self.read(BLOCK):
            pass


class RemoteFile(io.RawIOBase):
    """An object of S3 as a file that can be read from anywhere, without a copy of it."""

    def __init__(self, s3: Any, bucket: str, key: str) -> None:
        self._s3, self._where, self._at = s3, {"Bucket": bucket, "Key": key}, 0
        self._size: int = s3.head_object(**self._where)["ContentLength"]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        end = min(self._at + len(buffer), self._size)
        if self._at >= end:
            return 0
        body = self._s3.get_object(**self._where, Range=f"bytes={self._at}-{end - 1}")["Body"].read()
        buffer[: len(body)] = body
        self._at += len(body)
        return len(body)
