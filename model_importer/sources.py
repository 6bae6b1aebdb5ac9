"""The sources of a model: a repository of a hub, or a prefix of S3."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any, Protocol

from botocore.exceptions import ClientError

from .bucket import Bucket
from .errors import ModelImportError
from .files import Digest, File, Plan
from .hub import Hub
from .model_folder import DEFAULT_VARIANT, INDEX_FILE, parse_index, parse_settings, select_files
from .progress import Progress
from .stream import PIECE

Fields = dict[str, Any]
"""The source of a catalogue entry: kind, repository, revision, variant, parts; or kind, uri, licence."""


class Source(Protocol):
    """`resolve` is called once for a source; later imports use the recorded plan."""

    def resolve(self) -> Plan: ...
    def import_file(self, file: File, bucket: Bucket, key: str) -> None: ...


class HubSource:
    """A repository of a hub. Some components may come from repositories of their own (`parts`)."""

    def __init__(self, fields: Fields, hub: Callable[[str], Hub], pool: Executor, progress: Progress) -> None:
        self._fields, self._hub, self._pool, self._progress = fields, functools.cache(hub), pool, progress

    def resolve(self) -> Plan:
        parts = self._fields.get("parts", {})
        base = self._hub(self._fields["repository"]).snapshot(self._fields["revision"])
        commits, files = {self._fields["repository"]: base.commit}, dict(base.files)
        for name, part in parts.items():
            snapshot = self._hub(part["repository"]).snapshot(part["revision"])
            commits[part["repository"]] = snapshot.commit
            files = {path: file for path, file in files.items() if not path.startswith(f"{name}/")}
            files |= {f"{name}/{path}": replace(file, path=f"{name}/{path}") for path, file in snapshot.files.items()}
        reader = _SmallFileReader(files, lambda file: self._fetch(file, 0, file.size))
        variants = {name: part.get("variant", "") for name, part in parts.items()}
        return _plan(self._fields, commits, base.licence, files, variants, reader)

    def import_file(self, file: File, bucket: Bucket, key: str) -> None:
        if file.size <= PIECE:
            bucket.put(key, check_small_file(file, self._fetch(file, 0, file.size)), file)
            self._progress.add_fetched(file.size)
            return
        bucket.upload(key, file, functools.partial(self._fetch, file), self._pool, self._progress)

    def _fetch(self, file: File, first: int, end: int) -> bytes:
        return self._hub(file.origin.rpartition("@")[0]).fetch(file, first, end)


class S3Source:
    """A prefix of a bucket. S3 copies the files itself; the digest of a file is its ETag."""

    def __init__(self, fields: Fields, s3: Any, progress: Progress) -> None:
        self._fields, self._s3, self._progress = fields, s3, progress
        self._bucket, _, prefix = fields["uri"].removeprefix("s3://").partition("/")
        self._prefix = prefix.rstrip("/") + "/" if prefix else ""

    def resolve(self) -> Plan:
        files = {file.path: file for file in self._list()}
        if INDEX_FILE not in files:
            raise ModelImportError(f"{self._fields['uri']} has no {INDEX_FILE}. Use a folder that diffusers saved.")
        reader = _SmallFileReader(files, lambda file: self._get(file.name))
        fields = {"variant": DEFAULT_VARIANT, **self._fields}
        return _plan(fields, {}, self._fields.get("licence", "unknown"), files, {}, reader)

    def import_file(self, file: File, bucket: Bucket, key: str) -> None:
        if file.path.endswith(".json"):
            check_small_file(file, self._get(file.name))
        source = {"Bucket": self._bucket, "Key": self._prefix + file.name}
        try:
            bucket.copy(source, key, file, CopySourceIfMatch=f'"{file.digest.removeprefix("etag:")}"')
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] not in (404, 412):
                raise
            raise ModelImportError(
                f"{file.origin}{file.name} was replaced or deleted after the first deploy of this URI. Put another "
                "model at another URI."
            ) from error
        self._progress.add_fetched(file.size)

    def _list(self) -> list[File]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
        items = [item for page in pages for item in page.get("Contents", ()) if not item["Key"].endswith("/")]
        return [self._file(item["Key"].removeprefix(self._prefix), item) for item in items]

    def _file(self, name: str, item: dict[str, Any]) -> File:
        return File(name, item["Size"], "etag:" + item["ETag"].strip('"'), f"s3://{self._bucket}/{self._prefix}", name)

    def _get(self, path: str) -> bytes:
        body: bytes = self._s3.get_object(Bucket=self._bucket, Key=self._prefix + path)["Body"].read()
        return body


class _SmallFileReader:
    """Reads the files that decide which others belong to the model."""

    def __init__(self, files: dict[str, File], fetch: Callable[[File], bytes]) -> None:
        self._files, self._fetch = files, fetch

    def __call__(self, path: str) -> bytes:
        file = self._files.get(path)
        if file is None or file.size > PIECE:
            raise ModelImportError(f"{path} is missing or too large. Use a folder that diffusers saved.")
        return check_small_file(file, self._fetch(file))


def _plan(
    fields: Fields,
    commits: dict[str, str],
    licence: str,
    files: dict[str, File],
    variants: dict[str, str],
    reader: _SmallFileReader,
) -> Plan:
    """Return the plan. `variants` has the variants of components with repositories of their own."""
    index = parse_index(reader(INDEX_FILE))
    if unknown := variants.keys() - {*index.component_names, *index.unused}:
        names = ", ".join(sorted(unknown))
        raise ModelImportError(f"{INDEX_FILE} has no {names}. Correct `parts` in the catalogue entry.")
    default: str = fields.get("variant", "")
    all_variants = dict.fromkeys(index.component_names, default) | variants
    selected = select_files(files, index, all_variants, reader)
    return Plan(fields, commits, licence, tuple(files[path] for path in selected))


def check_small_file(file: File, data: bytes) -> bytes:
    """Return the content of a whole file.

    Raises DigestMismatchError, or ModelFolderError for settings that ask for code of their own.
    """
    if not file.digest.startswith("etag:"):
        digest = Digest(file)
        digest.update(data)
        digest.verify()
    if file.path.endswith(".json"):
        parse_settings(file.path, data)
    return data
