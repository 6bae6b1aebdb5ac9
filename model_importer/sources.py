"""Where a model comes from: a hub or a prefix of S3. Each says what there is, and brings a file into the bucket."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any, Protocol

from botocore.exceptions import ClientError

from .bucket import Bucket
from .choice import INDEX, UNSAID, choose, read_object
from .failure import ImportFailed
from .files import Digest, File, Plan
from .hub import Hub
from .progress import Progress
from .stream import PIECE

Told = dict[str, Any]


class Source(Protocol):
    """`resolve` is asked once; what it answered is kept to."""

    def resolve(self) -> Plan: ...
    def bring(self, file: File, bucket: Bucket, key: str) -> None: ...


class HubSource:
    """A repository of a hub; some folders of the pipeline may be repositories of their own (`parts`)."""

    def __init__(self, told: Told, hub: Callable[[str], Hub], pool: Executor, progress: Progress) -> None:
        self._told, self._hub, self._pool, self._progress = told, functools.cache(hub), pool, progress

    def resolve(self) -> Plan:
        parts = self._told.get("parts", {})
        base = self._hub(self._told["repository"]).snapshot(self._told["revision"])
        commits, files = {self._told["repository"]: base.commit}, dict(base.files)
        for part, told in parts.items():
            own = self._hub(told["repository"]).snapshot(told["revision"])
            commits[told["repository"]] = own.commit
            files = {path: file for path, file in files.items() if not path.startswith(f"{part}/")}
            files |= {f"{part}/{name}": replace(file, path=f"{part}/{name}") for name, file in own.files.items()}
        read = _Checked(files, lambda file: self._fetch(file, 0, file.size))
        variants = {part: told.get("variant", "") for part, told in parts.items()}
        return _plan(self._told, commits, base.licence, files, variants, read)

    def bring(self, file: File, bucket: Bucket, key: str) -> None:
        if file.size <= PIECE:
            data = check_content(file, self._fetch(file, 0, file.size))
            bucket.put(key, data, file)
            self._progress.add(file.size)
            return
        bucket.upload(key, file, functools.partial(self._fetch, file), self._pool, self._progress)

    def _fetch(self, file: File, first: int, end: int) -> bytes:
        return self._hub(file.origin.rpartition("@")[0]).fetch(file, first, end)


class S3Source:
    """A prefix of a bucket; S3 copies by itself. Its record of a file is the ETag."""

    def __init__(self, told: Told, s3: Any, progress: Progress) -> None:
        self._told, self._s3, self._progress = told, s3, progress
        self._bucket, _, prefix = told["uri"].removeprefix("s3://").partition("/")
        self._prefix = prefix.rstrip("/") + "/" if prefix else ""

    def resolve(self) -> Plan:
        files = {file.path: file for file in self._list()}
        if INDEX not in files:
            raise ImportFailed(f"{self._told['uri']} holds no {INDEX}: it is no folder that diffusers saved.")
        read = _Checked(files, lambda file: self._get(file.name))
        own = {"variant": UNSAID, **self._told}
        return _plan(own, {}, self._told.get("licence", "unknown"), files, {}, read)

    def bring(self, file: File, bucket: Bucket, key: str) -> None:
        if file.path.endswith(".json"):
            check_content(file, self._get(file.name))
        source = {"Bucket": self._bucket, "Key": self._prefix + file.name}
        try:
            bucket.copy(source, key, file, CopySourceIfMatch=f'"{file.digest.removeprefix("etag:")}"')
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] not in (404, 412):
                raise
            raise ImportFailed(
                f"{file.origin}{file.name} was replaced or deleted since this URI was first deployed. Another model "
                "wants another URI."
            ) from error
        self._progress.add(file.size)

    def _list(self) -> list[File]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
        items = [item for page in pages for item in page.get("Contents", ()) if not item["Key"].endswith("/")]
        return [self._file(item["Key"].removeprefix(self._prefix), item) for item in items]

    def _file(self, name: str, item: Told) -> File:
        return File(name, item["Size"], "etag:" + item["ETag"].strip('"'), f"s3://{self._bucket}/{self._prefix}", name)

    def _get(self, path: str) -> bytes:
        body: bytes = self._s3.get_object(Bucket=self._bucket, Key=self._prefix + path)["Body"].read()
        return body


class _Checked:
    """Reads small files that decide what else is taken."""

    def __init__(self, files: dict[str, File], fetch: Any) -> None:
        self._files, self._fetch = files, fetch

    def __call__(self, path: str) -> bytes:
        file = self._files.get(path)
        if file is None or file.size > PIECE:
            raise ImportFailed(f"{path} is missing or too large: this is no folder that diffusers saved.")
        return check_content(file, self._fetch(file))


def _plan(
    told: Told, commits: dict[str, str], licence: str, files: dict[str, File], variants: dict[str, str], read: _Checked
) -> Plan:
    index = read_object(INDEX, read(INDEX))
    if unknown := variants.keys() - index.keys():
        raise ImportFailed(f"{INDEX} names no {', '.join(sorted(unknown))}, which the catalogue takes from elsewhere.")
    own = {part: told.get("variant", "") for part in index} | variants
    chosen = choose(files, index, own, read)
    return Plan(told, commits, licence, tuple(files[path] for path in chosen))


def check_content(file: File, data: bytes) -> bytes:
    """A small file, whole. Refused are another one than is on record, and settings that ask for code of their own."""
    if not file.digest.startswith("etag:"):
        digest = Digest(file)
        digest.update(data)
        digest.verify()
    if file.path.endswith(".json"):
        read_object(file.path, data)
    return data
