"""One large file on its way into the bucket, in parts. What a killed run has sent is not fetched from the hub again."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

from botocore.exceptions import ClientError

from .files import DamagedError, File
from .progress import Progress
from .stream import PIECE, Fetch, Stream

PARTS = 10_000
"""The most that an upload has."""
COPY = 256 * 1024 * 1024
"""About the size of a part that S3 copies by itself."""
SENDING = 8
"""Parts under way at once."""

Where = dict[str, str]


def upload(s3: Any, where: Where, file: File, fetch: Fetch, pool: Executor, progress: Progress) -> None:
    """Writes `file` to the object `where` (Bucket, Key), from its beginning there if a killed run has left one.

    The beginning is read back from S3, so that the digest covers every byte that will be in the object. After any
    failure but a wrong digest the parts stay for the next run. Raises ImportFailed.
    """
    begun = gather(s3, where, file)
    stream = Stream(file, fetch, pool, progress.add, begun, lambda first, end: _read(s3, where, first, end))
    parts = Parts(s3, where, file)
    try:
        with ThreadPoolExecutor(SENDING) as senders:
            for first, end in _spans(begun):
                parts.copy(senders, first, end)
            stream.skip(begun)
            progress.keep(begun)
            for data in iter(lambda: stream.read(part_size(file)), b""):
                parts.send(senders, data)
            parts.complete()
    except DamagedError:
        parts.abort()
        if begun:
            s3.delete_object(**where)
        raise
    finally:
        stream.close()


def part_size(file: File) -> int:
    return max(PIECE, -(-file.size // PARTS))


class Parts:
    """An open upload; its parts are numbered in the order in which they are given."""

    def __init__(self, s3: Any, where: Where, file: File) -> None:
        self._s3, self._sent = s3, list[Future[dict[str, Any]]]()
        made = s3.create_multipart_upload(**where, Metadata={"digest": file.digest}, ChecksumAlgorithm="CRC32")
        self._where = {**where, "UploadId": made["UploadId"]}

    def send(self, pool: Executor, data: bytes) -> None:
        """Waits while `SENDING` parts are under way."""
        if len(self._sent) >= SENDING:
            self._sent[-SENDING].result()
        self._sent.append(pool.submit(self._send, len(self._sent) + 1, data))

    def copy(self, pool: Executor, first: int, end: int) -> None:
        """Bytes of the object that is there, by S3 itself."""
        self._sent.append(pool.submit(self._copy, len(self._sent) + 1, first, end))

    def complete(self) -> None:
        _complete(self._s3, self._where, [sent.result() for sent in self._sent])

    def abort(self) -> None:
        self._s3.abort_multipart_upload(**self._where)

    def _send(self, number: int, data: bytes) -> dict[str, Any]:
        answer = self._s3.upload_part(**self._where, PartNumber=number, Body=data, ChecksumAlgorithm="CRC32")
        return {**answer, "PartNumber": number}

    def _copy(self, number: int, first: int, end: int) -> dict[str, Any]:
        source = {name: self._where[name] for name in ("Bucket", "Key")}
        answer = self._s3.upload_part_copy(
            **self._where, PartNumber=number, CopySource=source, CopySourceRange=f"bytes={first}-{end - 1}"
        )
        return {**answer["CopyPartResult"], "PartNumber": number}


def gather(s3: Any, where: Where, file: File) -> int:
    """How many bytes of the beginning of `file` lie at its key, once killed uploads were brought together there.

    S3 gives out no part of an open upload, so the longest run of parts becomes an object: one that is shorter than the
    file, and so is never taken for it. Two imports of one release never run at once: who starts one ends the one
    before.
    """
    there = _size(s3, where, file)
    for identity in _open(s3, where):
        parts = list(_first_parts(s3, identity, file.size))
        size = sum(part["Size"] for part in parts)
        if size > there:
            _complete(s3, identity, parts)
            there = _size(s3, where, file)
        else:
            s3.abort_multipart_upload(**identity)
    if there:
        print(f"{where['Key']} goes on after {there} of {file.size} bytes")
    return there


def _open(s3: Any, where: Where) -> Iterator[dict[str, str]]:
    """The open uploads of exactly this key."""
    pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=where["Bucket"], Prefix=where["Key"])
    for found in [one for page in pages for one in page.get("Uploads", ())]:
        if found["Key"] == where["Key"]:
            yield {**where, "UploadId": found["UploadId"]}


def _first_parts(s3: Any, identity: dict[str, str], limit: int) -> Iterator[dict[str, Any]]:
    """Those from the first on without a gap, and never all of the file: it would pass for checked."""
    pages = s3.get_paginator("list_parts").paginate(**identity)
    size = 0
    for number, part in enumerate((one for page in pages for one in page.get("Parts", ())), start=1):
        size += part["Size"]
        if part["PartNumber"] != number or size >= limit:
            return
        yield part


def _size(s3: Any, where: Where, file: File) -> int:
    """Of the beginning of the file that lies there; zero if nothing or something else does."""
    try:
        found = s3.head_object(**where)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        return 0
    ours = found["Metadata"].get("digest") == file.digest and found["ContentLength"] < file.size
    return int(found["ContentLength"]) if ours else 0


def _complete(s3: Any, identity: dict[str, str], parts: list[dict[str, Any]]) -> None:
    told = [{name: part[name] for name in ("PartNumber", "ETag", "ChecksumCRC32") if name in part} for part in parts]
    s3.complete_multipart_upload(**identity, MultipartUpload={"Parts": told})


def _spans(size: int) -> Iterator[tuple[int, int]]:
    """`size` bytes in equal pieces: all but the last part of an upload have 5 MiB at least."""
    count = -(-size // COPY)
    for index in range(count):
        yield size * index // count, size * (index + 1) // count


def _read(s3: Any, where: Where, first: int, end: int) -> bytes:
    body: bytes = s3.get_object(**where, Range=f"bytes={first}-{end - 1}")["Body"].read()
    return body
