"""Custom resource: unpacks zip assets below an immutable prefix of a bucket, as a stream, and skips existing files."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import zipfile
from collections.abc import Callable, Iterator
from typing import IO, Any

import boto3

from .response import Event, Result, make_handler

NAME_BYTES = 255
"""Longest file name that SageMaker accepts in uncompressed model data."""
BLOCK = 8 * 1024 * 1024
MANIFEST = "release.json"
RESPONSE_MS = 30_000
"""Time reserved for the response: without one, CloudFormation waits until its own limit and gives no reason."""

RemainingTime = Callable[[], float]
"""Returns the milliseconds that this invocation has left."""


class UnsafeNameError(ValueError):
    """A member of an archive that must not become an object."""


class TooLargeError(RuntimeError):
    """A model folder that cannot be written within the time limit of a function, and what to do."""


def handler(event: Event, context: Any) -> None:
    make_handler(lambda event: publish(event, context.get_remaining_time_in_millis))(event, context)


def publish(event: Event, remaining_time: RemainingTime) -> Result:
    """Write every file of the parts below the prefix.

    The prefix is a hash of the content, so a file of the right size is right. With `Manifest` (JSON: the source of the
    model) it also writes `release.json`, which adds the digest of every file. Raises UnsafeNameError, TooLargeError.
    """
    properties = event["ResourceProperties"]
    bucket, prefix = properties["Bucket"], properties["Prefix"]
    s3 = boto3.client("s3")
    existing = dict(_sizes(s3, bucket, prefix))
    for key in existing:  # a tag may have marked the release for deletion
        s3.delete_object_tagging(Bucket=bucket, Key=key)
    needs_manifest = "Manifest" in properties and prefix + MANIFEST not in existing
    unpack = Unpack(s3, bucket, prefix, existing, needs_manifest, remaining_time)
    files = [file for part in properties["Parts"] for file in unpack.part(part)]
    if needs_manifest:
        manifest = json.dumps({**json.loads(properties["Manifest"]), "files": files}, indent=1).encode()
        s3.put_object(Bucket=bucket, Key=prefix + MANIFEST, Body=manifest)
    uri = f"s3://{bucket}/{prefix}"
    return uri, {"Uri": uri}


class Unpack:
    """Writes the files of zip assets to a prefix. `existing`: key to size. `digest_all`: also read existing files."""

    def __init__(
        self,
        s3: Any,
        bucket: str,
        prefix: str,
        existing: dict[str, int],
        digest_all: bool,
        remaining_time: RemainingTime,
    ) -> None:
        self._s3, self._bucket, self._prefix, self._existing = s3, bucket, prefix, existing
        self._digest_all, self._remaining_time = digest_all, remaining_time

    def part(self, part: dict[str, str]) -> Iterator[dict[str, Any]]:
        """Write a part. Yields the path, size and digest of each file that was read."""
        remote = RemoteFile(self._s3, part["Bucket"], part["Key"])
        with zipfile.ZipFile(io.BufferedReader(remote, BLOCK)) as archive:
            for member in (member for member in archive.infolist() if not member.is_dir()):
                path = part["Below"] + checked_name(member)
                exists = self._existing.get(self._prefix + path) == member.file_size
                if exists and not self._digest_all:
                    continue
                with archive.open(member) as source:
                    reader = DigestReader(source, self._remaining_time)
                    if exists:
                        reader.read_to_end()
                    else:
                        self._s3.upload_fileobj(reader, self._bucket, self._prefix + path)
                        print(f"wrote {self._prefix}{path}, {member.file_size} bytes")
                yield {"path": path, "size": member.file_size, "digest": f"sha256:{reader.digest.hexdigest()}"}


def checked_name(member: zipfile.ZipInfo) -> str:
    """Return the member's name if it is safe as an object key below the prefix. Raises UnsafeNameError."""
    name = member.filename
    if stat.S_ISLNK(member.external_attr >> 16):
        raise UnsafeNameError(f"{name!r} is a symbolic link. Replace it by the file that it points to.")
    if "\\" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise UnsafeNameError(f"{name!r} leads out of the release. Rename the file.")
    if any(len(part.encode()) > NAME_BYTES for part in name.split("/")):
        raise UnsafeNameError(f"{name[:80]!r}… is longer than {NAME_BYTES} bytes. Rename the file.")
    return name


def _sizes(s3: Any, bucket: str, prefix: str) -> Iterator[tuple[str, int]]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", []):
            yield item["Key"], item["Size"]


class DigestReader:
    """A file-like object that computes a digest while it is read, and raises TooLargeError when time runs out.

    It cannot seek: with a seekable file, S3's upload would read all of it first to learn its size.
    """

    def __init__(self, source: IO[bytes], remaining_time: RemainingTime) -> None:
        self._source, self._remaining_time, self.digest = source, remaining_time, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        if self._remaining_time() < RESPONSE_MS:
            raise TooLargeError(
                "The model folder is too large: a function has 15 minutes to unpack it. Upload its files to S3 and set "
                "their s3://…/ as the source of the catalogue entry (docs/how-to/own-model.md)."
            )
        data = self._source.read(size)
        self.digest.update(data)
        return data

    def read_to_end(self) -> None:
        while self.read(BLOCK):
            pass


class RemoteFile(io.RawIOBase):
    """An S3 object as a seekable file. Each read fetches its own range."""

    def __init__(self, s3: Any, bucket: str, key: str) -> None:
        self._s3, self._object, self._position = s3, {"Bucket": bucket, "Key": key}, 0
        self._size: int = s3.head_object(**self._object)["ContentLength"]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def readinto(self, buffer: Any) -> int:
        end = min(self._position + len(buffer), self._size)
        if self._position >= end:
            return 0
        body = self._s3.get_object(**self._object, Range=f"bytes={self._position}-{end - 1}")["Body"].read()
        buffer[: len(body)] = body
        self._position += len(body)
        return len(body)
