"""The sources of a model: a repository of a hub, a prefix of S3, or one file of either or at a URL."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from .checkpoint.local import local_file
from .checkpoint.source import CheckpointSource, SingleFile
from .errors import ModelImportError
from .files import Digest, File, Plan
from .hub import Hub
from .model_folder import EXTRAS, INDEX_FILE, check_model, extra_path, parse_settings
from .progress import Progress
from .stream import PIECE
from .url import Url

if TYPE_CHECKING:  # they need boto3, which a laptop may lack
    from .bucket import Bucket

Fields = dict[str, Any]
"""The source of a catalogue entry: kind, repository, revision, variant, parts, file; kind, uri, licence; kind, url,
sha256, licence; or kind, checkpoint, a path of this machine. All may have lists of `EXTRAS`: id, sha256 and, if it is
not beside the model, source: kind and repository, revision, file; url; or uri."""


class Source(Protocol):
    """A source of model files. `resolve` is called once for a source; later imports use the recorded plan."""

    def resolve(self) -> Plan: ...
    def import_file(self, file: File, bucket: Bucket, key: str) -> None: ...


@dataclass(frozen=True)
class Connect:
    """How the origins of sources are reached from here. Each is called only if it is needed."""

    hub: Callable[[str], Hub]
    """Takes `owner/name`."""
    url: Callable[[str], Url]
    s3: Callable[[], Any]


def open_source(
    fields: Fields, connect: Connect, pool: Executor, progress: Progress, pipeline: str | None = None
) -> HubSource | S3Source | CheckpointSource:
    """Return the source that a catalogue entry describes. `pipeline` is the class in the entry."""
    elsewhere = ExtrasElsewhere(fields, connect, pool, progress)
    if is_checkpoint(fields):
        opened = functools.partial(open_file, fields, connect)
        return CheckpointSource(fields, opened, pool, progress, elsewhere, pipeline)
    if fields["kind"] == "s3":
        return S3Source(fields, connect.s3(), progress, pipeline, elsewhere)
    return HubSource(fields, connect.hub, pool, progress, pipeline, elsewhere)


def is_checkpoint(fields: Fields) -> bool:
    """Return whether a source is one file, which has to be converted."""
    named = fields["kind"] == "url" or fields.get("file") or fields.get("checkpoint")
    return bool(named) or fields.get("uri", "").endswith(".safetensors")


def open_file(fields: Fields, connect: Connect) -> SingleFile:
    """Return the file that a source names. Raises ModelImportError, ModelFolderError, or what boto3 raises."""
    if fields["kind"] == "folder":
        return local_file(fields["checkpoint"])
    if fields["kind"] == "url":
        url = connect.url(fields["url"])
        file = url.file(fields.get("sha256") or "")
        return SingleFile(file, functools.partial(url.fetch, file))
    if fields["kind"] == "s3":
        source = S3Source(fields, connect.s3(), Progress(lambda state: None))
        file = source.object()
        return SingleFile(file, functools.partial(source.fetch, file))
    hub, name = connect.hub(fields["repository"]), fields["file"]
    snapshot = hub.snapshot(fields["revision"])
    if name not in snapshot.files:
        raise ModelImportError(f"{fields['repository']} has no {name}. See {hub.url}/{fields['repository']}/tree/main.")
    file = snapshot.files[name]
    return SingleFile(
        file, functools.partial(hub.fetch, file), {fields["repository"]: snapshot.commit}, snapshot.licence
    )


class ExtrasElsewhere:
    """The extras of an entry that come from a link or S3 or, unless the model is a folder of a hub, from a hub."""

    def __init__(self, fields: Fields, connect: Connect, pool: Executor, progress: Progress) -> None:
        self._extras = {path: extra for path, extra in _extras(fields).items() if _is_elsewhere(fields, extra)}
        self._connect, self._pool, self._progress = connect, pool, progress
        self._open = functools.cache(self._open_file)

    def files(self) -> dict[str, File]:
        """Return the files by their paths in a release. Raises ModelImportError: missing, or of another digest."""
        return {path: self._file(path) for path in self._extras}

    def commits(self) -> dict[str, str]:
        """Return the commits of their repositories."""
        return {name: commit for path in self._extras for name, commit in self._open(path).commits.items()}

    def has(self, file: File) -> bool:
        return file.path in self._extras

    def fetch(self, file: File, first: int, end: int) -> bytes:
        return self._open(file.path).fetch(first, end)

    def import_file(self, file: File, bucket: Bucket, key: str) -> None:
        """Write a file of `files` into the bucket, if it has the digest of the entry."""
        _import_fetched(file, bucket, key, self.fetch, self._pool, self._progress)

    def _file(self, path: str) -> File:
        extra, file = self._extras[path], self._open(path).file
        digest = f"sha256:{extra['sha256']}"
        if file.digest.startswith("sha256:") and file.digest != digest:
            raise _other_digest(path, extra, file.digest)
        return replace(file, path=path, digest=digest)

    def _open_file(self, path: str) -> SingleFile:
        extra = self._extras[path]
        try:
            return open_file({**extra["source"], "sha256": extra["sha256"]}, self._connect)
        except ModelImportError as error:
            raise ModelImportError(f"{extra['id']!r} in `{_folder(path)}` of the entry: {error}") from None


class HubSource:
    """A repository of a hub. Some components may come from repositories of their own (`parts`)."""

    def __init__(
        self,
        fields: Fields,
        hub: Callable[[str], Hub],
        pool: Executor,
        progress: Progress,
        pipeline: str | None,
        elsewhere: ExtrasElsewhere,
    ) -> None:
        self._fields, self._hub, self._pool, self._progress = fields, functools.cache(hub), pool, progress
        self._pipeline, self._elsewhere = pipeline, elsewhere

    def resolve(self) -> Plan:
        parts = self._fields.get("parts", {})
        base = self._hub(self._fields["repository"]).snapshot(self._fields["revision"])
        commits, files = {self._fields["repository"]: base.commit}, dict(base.files)
        for name, part in parts.items():
            snapshot = self._hub(part["repository"]).snapshot(part["revision"])
            commits[part["repository"]] = snapshot.commit
            files = {path: file for path, file in files.items() if not path.startswith(f"{name}/")}
            files |= {f"{name}/{path}": replace(file, path=f"{name}/{path}") for path, file in snapshot.files.items()}
        variants = {name: part.get("variant", "") for name, part in parts.items()}
        variants[""] = self._fields.get("variant", "")
        extras = _extras(self._fields)
        found = self._elsewhere.files()
        for path, extra in extras.items():
            files |= {path: found[path]} if path in found else self._extra(path, extra, files, commits)
        checked = SourceFiles(files, self.fetch).check(variants, self._pipeline, extras)
        return Plan(self._fields, commits, base.licence, checked)

    def _extra(self, path: str, extra: Fields, files: Mapping[str, File], commits: dict[str, str]) -> dict[str, File]:
        """Return an extra by its path in the release. Adds the commit of its repository to `commits`."""
        source = extra.get("source")
        if source:
            snapshot = self._hub(source["repository"]).snapshot(source["revision"])
            commits.setdefault(source["repository"], snapshot.commit)
            files = {path: snapshot.files[source["file"]]} if source["file"] in snapshot.files else {}
        if path not in files:
            where = f"{source['file']} in {source['repository']}" if source else f"{path} beside the model"
            raise ModelImportError(f"There is no {where}. Correct {extra['id']!r} in `{_folder(path)}` of the entry.")
        file, digest = files[path], f"sha256:{extra['sha256']}"
        if file.digest.startswith("sha256:") and file.digest != digest:
            raise _other_digest(path, extra, file.digest)
        return {path: replace(file, path=path, digest=digest)}

    def import_file(self, file: File, bucket: Bucket, key: str) -> None:
        _import_fetched(file, bucket, key, self.fetch, self._pool, self._progress)

    def fetch(self, file: File, first: int, end: int) -> bytes:
        if self._elsewhere.has(file):
            return self._elsewhere.fetch(file, first, end)
        return self._hub(file.origin.rpartition("@")[0]).fetch(file, first, end)


class S3Source:
    """A prefix of a bucket. S3 copies the files itself; the digest of a file is its ETag."""

    def __init__(
        self,
        fields: Fields,
        s3: Any,
        progress: Progress,
        pipeline: str | None = None,
        elsewhere: ExtrasElsewhere | None = None,
    ) -> None:
        self._fields, self._s3, self._progress, self._pipeline = fields, s3, progress, pipeline
        self._elsewhere = elsewhere
        self._bucket, _, prefix = fields["uri"].removeprefix("s3://").partition("/")
        self._prefix = prefix if is_checkpoint(fields) else prefix.rstrip("/") + "/" if prefix else ""

    def resolve(self) -> Plan:
        files = {file.path: file for file in self._list()}
        if INDEX_FILE not in files:
            raise ModelImportError(f"{self._fields['uri']} has no {INDEX_FILE}. Use a folder that diffusers saved.")
        found = self._elsewhere.files() if self._elsewhere else {}
        source = SourceFiles(files | found, self.fetch)
        extras = _extras(self._fields)
        checked = source.check({"": self._fields.get("variant")}, self._pipeline, extras)
        for path, extra in extras.items():
            if path not in found:
                self._verify(path, extra, files[path])
        commits = self._elsewhere.commits() if self._elsewhere else {}
        return Plan(self._fields, commits, self._fields.get("licence", "unknown"), checked)

    def _verify(self, path: str, extra: Fields, file: File) -> None:
        """Compare the digest of an extra with its entry: that of S3 depends on how the file was uploaded."""
        digest = hashlib.sha256()
        for first in range(0, file.size, PIECE):
            digest.update(self.fetch(file, first, min(first + PIECE, file.size)))
        if digest.hexdigest() != extra["sha256"]:
            raise _other_digest(path, extra, f"sha256:{digest.hexdigest()}")

    def import_file(self, file: File, bucket: Bucket, key: str) -> None:
        from botocore.exceptions import ClientError

        from .missing import is_missing

        if self._elsewhere and self._elsewhere.has(file):
            self._elsewhere.import_file(file, bucket, key)
            return
        source = {"Bucket": self._bucket, "Key": self._prefix + file.name}
        try:
            bucket.copy(source, key, file, CopySourceIfMatch=f'"{file.digest.removeprefix("etag:")}"')
        except ClientError as error:
            replaced = error.response["ResponseMetadata"]["HTTPStatusCode"] == 412
            if not replaced and not is_missing(self._s3, self._bucket, source["Key"], error):
                raise
            raise ModelImportError(
                f"{file.origin}{file.name} was replaced or deleted after the first deploy of this URI. Put another "
                "model at another URI."
            ) from error
        self._progress.add_fetched(file.size)

    def files(self) -> SourceFiles:
        """Return all objects below the prefix."""
        return SourceFiles({file.path: file for file in self._list()}, self.fetch)

    def object(self) -> File:
        """Return the object of a URI that names one. Raises ModelImportError."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
        items = (item for page in pages for item in page.get("Contents", ()) if item["Key"] == self._prefix)
        if (item := next(items, None)) is None:
            raise ModelImportError(f"{self._fields['uri']} does not exist. Correct `uri` in the entry's source.")
        return replace(self._file("", item), path=self._prefix.rpartition("/")[2])

    def _list(self) -> list[File]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
        items = [item for page in pages for item in page.get("Contents", ()) if not item["Key"].endswith("/")]
        return [self._file(item["Key"].removeprefix(self._prefix), item) for item in items]

    def _file(self, name: str, item: dict[str, Any]) -> File:
        return File(name, item["Size"], "etag:" + item["ETag"].strip('"'), f"s3://{self._bucket}/{self._prefix}", name)

    def fetch(self, file: File, first: int, end: int) -> bytes:
        if self._elsewhere and self._elsewhere.has(file):
            return self._elsewhere.fetch(file, first, end)
        if first == end:
            return b""
        etag, key = file.digest.removeprefix("etag:"), self._prefix + file.name
        range_ = f"bytes={first}-{end - 1}"
        response = self._s3.get_object(Bucket=self._bucket, Key=key, Range=range_, IfMatch=f'"{etag}"')
        body: bytes = response["Body"].read()
        return body


class SourceFiles:
    """The files of a source as the rule of model folders reads them: settings whole, weights in ranges."""

    def __init__(self, files: Mapping[str, File], fetch: Callable[[File, int, int], bytes]) -> None:
        self._files, self.fetch = files, fetch
        self.sizes = {path: file.size for path, file in files.items()}

    def read(self, path: str, first: int, end: int) -> bytes:
        file = self._files[path]
        data = self.fetch(file, first, end)
        return check_small_file(file, data) if path.endswith(".json") and (first, end) == (0, file.size) else data

    def check(
        self, variants: Mapping[str, str | None], pipeline: str | None, extras: Iterable[str] = ()
    ) -> tuple[File, ...]:
        """Return the files of the model.

        `variants` has those of components with repositories of their own, and "" for the others; `extras` has paths.
        Raises ModelFolderError before anything is written.
        """
        checked = check_model(self, variants, pipeline, extras)
        if unknown := variants.keys() - {"", *checked.index.component_names, *checked.index.unused}:
            names = ", ".join(sorted(unknown))
            raise ModelImportError(f"{INDEX_FILE} has no {names}. Correct `parts` in the catalogue entry.")
        return tuple(self._files[path] for path in checked.files)


def _is_elsewhere(fields: Fields, extra: Fields) -> bool:
    """Return whether an extra is not for `HubSource`, which knows the commits of its recorded plan."""
    source = extra.get("source")
    of_hub = fields["kind"] == "hub" and not is_checkpoint(fields)
    return source is not None and not (of_hub and source["kind"] == "hub")


def _import_fetched(
    file: File,
    bucket: Bucket,
    key: str,
    fetch: Callable[[File, int, int], bytes],
    pool: Executor,
    progress: Progress,
) -> None:
    if file.size <= PIECE:
        bucket.put(key, check_small_file(file, fetch(file, 0, file.size)), file)
        progress.add_fetched(file.size)
        return
    bucket.upload(key, file, functools.partial(fetch, file), pool, progress)


def _extras(fields: Fields) -> dict[str, Fields]:
    """Return the extras of a source by their paths in a release."""
    return {extra_path(folder, extra["id"]): extra for folder in EXTRAS for extra in fields.get(folder, ())}


def _folder(path: str) -> str:
    return path.partition("/")[0]


def _other_digest(path: str, extra: Fields, found: str) -> ModelImportError:
    return ModelImportError(
        f"The {EXTRAS[_folder(path)].name} {extra['id']!r} has the digest {found}, but its entry has "
        f"sha256:{extra['sha256']}. Correct `sha256`, or its source."
    )


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
