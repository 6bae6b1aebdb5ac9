"""Multipart upload of one large file. It continues in the middle of the file after a run was killed.

Without that, a file that takes longer than one build (50 minutes: 10 GB at 3 MB/s, as from a distant mirror) could
never be imported.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

from botocore.exceptions import ClientError

from .errors import DigestMismatchError
from .files import File
from .missing import is_missing
from .progress import Progress
from .stream import PIECE, Fetch, Stream

MAX_PARTS = 10_000
"""Parts of one upload (a limit of S3)."""
COPY_BYTES = 256 * 1024 * 1024
"""About the size of a part that S3 copies."""
PARALLEL_PARTS = 8

Target = dict[str, str]
"""Bucket and Key."""


def upload_file(s3: Any, target: Target, file: File, fetch: Fetch, pool: Executor, progress: Progress) -> None:
    """Write `file` to the object `target`. If a killed run left the first bytes there, fetch only the rest.

    Those bytes are read back from S3, so that the digest covers every byte of the object. After any failure but a
    wrong digest the parts stay for the next run. Raises ModelImportError.
    """
    present = join_interrupted_uploads(s3, target, file)
    stream = Stream(file, fetch, pool, progress.add_fetched, present, functools.partial(_read, s3, target))
    parts = PartUpload(s3, target, file)
    try:
        with ThreadPoolExecutor(PARALLEL_PARTS) as senders:
            for first, end in _copy_ranges(present):
                parts.copy(senders, first, end)
            stream.skip(present)
            progress.add_present(present)
            for data in iter(lambda: stream.read(part_size(file)), b""):
                parts.send(senders, data)
            parts.complete()
    except DigestMismatchError:
        parts.abort()
        if present:
            s3.delete_object(**target)
        raise
    finally:
        stream.close()


def part_size(file: File) -> int:
    """Return bytes: larger files have larger parts, so that there are at most MAX_PARTS."""
    return max(PIECE, -(-file.size // MAX_PARTS))


class PartUpload:
    """An open multipart upload. Parts are numbered in the order of the calls."""

    def __init__(self, s3: Any, target: Target, file: File) -> None:
        self._s3, self._parts = s3, list[Future[dict[str, Any]]]()
        created = s3.create_multipart_upload(**target, Metadata={"digest": file.digest}, ChecksumAlgorithm="CRC32")
        self._upload = {**target, "UploadId": created["UploadId"]}

    def send(self, pool: Executor, data: bytes) -> None:
        """Send a part. Waits while PARALLEL_PARTS are being sent."""
        if len(self._parts) >= PARALLEL_PARTS:
            self._parts[-PARALLEL_PARTS].result()
        self._parts.append(pool.submit(self._send, len(self._parts) + 1, data))

    def copy(self, pool: Executor, first: int, end: int) -> None:
        """Let S3 copy a range of the present object into a part."""
        self._parts.append(pool.submit(self._copy, len(self._parts) + 1, first, end))

    def complete(self) -> None:
        _complete(self._s3, self._upload, [part.result() for part in self._parts])

    def abort(self) -> None:
        self._s3.abort_multipart_upload(**self._upload)

    def _send(self, number: int, data: bytes) -> dict[str, Any]:
        response = self._s3.upload_part(**self._upload, PartNumber=number, Body=data, ChecksumAlgorithm="CRC32")
        return {**response, "PartNumber": number}

    def _copy(self, number: int, first: int, end: int) -> dict[str, Any]:
        source = {name: self._upload[name] for name in ("Bucket", "Key")}
        response = self._s3.upload_part_copy(
            **self._upload, PartNumber=number, CopySource=source, CopySourceRange=f"bytes={first}-{end - 1}"
        )
        return {**response["CopyPartResult"], "PartNumber": number}


def join_interrupted_uploads(s3: Any, target: Target, file: File) -> int:
    """Return how many of the first bytes of `file` are in the object `target` now.

    S3 returns no part of an open upload, so the longest run of parts of a killed upload becomes an object. It is
    shorter than the file and thus never taken for it. Imports of one release never run at the same time: who starts
    an import stops the earlier one.
    """
    present = _present_size(s3, target, file)
    for upload in _open_uploads(s3, target):
        parts = list(_first_parts(s3, upload, file.size))
        if sum(part["Size"] for part in parts) > present:
            _complete(s3, upload, parts)
            present = _present_size(s3, target, file)
        else:
            s3.abort_multipart_upload(**upload)
    if present:
        print(f"{target['Key']} continues after {present} of {file.size} bytes")
    return present


def _open_uploads(s3: Any, target: Target) -> Iterator[dict[str, str]]:
    """Return the open uploads of exactly this key."""
    pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=target["Bucket"], Prefix=target["Key"])
    for upload in [upload for page in pages for upload in page.get("Uploads", ())]:
        if upload["Key"] == target["Key"]:
            yield {**target, "UploadId": upload["UploadId"]}


def _first_parts(s3: Any, upload: dict[str, str], limit: int) -> Iterator[dict[str, Any]]:
    """Return part 1 and those that follow it without a gap, less than `limit` bytes: the end must be checked first."""
    pages = s3.get_paginator("list_parts").paginate(**upload)
    size = 0
    for number, part in enumerate((part for page in pages for part in page.get("Parts", ())), start=1):
        size += part["Size"]
        if part["PartNumber"] != number or size >= limit:
            return
        yield part


def _present_size(s3: Any, target: Target, file: File) -> int:
    """Return the size of the object if it holds the first bytes of `file`, else 0."""
    try:
        found = s3.head_object(**target)
    except ClientError as error:
        if not is_missing(s3, target["Bucket"], target["Key"], error):
            raise
        return 0
    is_beginning = found["Metadata"].get("digest") == file.digest and found["ContentLength"] < file.size
    return int(found["ContentLength"]) if is_beginning else 0


def _complete(s3: Any, upload: dict[str, str], parts: list[dict[str, Any]]) -> None:
    names = ("PartNumber", "ETag", "ChecksumCRC32")
    listed = [{name: part[name] for name in names if name in part} for part in parts]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": listed})


def _copy_ranges(size: int) -> Iterator[tuple[int, int]]:
    """Split `size` bytes into equal ranges: every part of an upload but the last must have 5 MiB or more."""
    count = -(-size // COPY_BYTES)
    for index in range(count):
        yield size * index // count, size * (index + 1) // count


def _read(s3: Any, target: Target, first: int, end: int) -> bytes:
    body: bytes = s3.get_object(**target, Range=f"bytes={first}-{end - 1}")["Body"].read()
    return body
