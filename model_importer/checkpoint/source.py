"""A single-file checkpoint as the source of a model: fetched to the disk, checked, and converted there."""

from __future__ import annotations

import functools
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..download import download
from ..errors import ModelImportError
from ..files import File, Plan
from ..model_folder import Files, Header, ModelFolderError, check_model, read_header
from ..progress import Progress
from ..stream import Fetch
from .convert import Conversion, convert

if TYPE_CHECKING:  # it needs boto3, which a laptop may lack
    from ..bucket import Bucket
    from ..sources import ExtrasElsewhere

CONVERTED = "converted:1:"
"""Start of the digest of a converted file. The number changes with what the conversion writes."""


@dataclass(frozen=True)
class SingleFile:
    """A file of any origin. `commits` and `licence` are as in `Plan`."""

    file: File
    fetch: Fetch
    commits: Mapping[str, str] = field(default_factory=dict)
    licence: str = "unknown"

    @property
    def sizes(self) -> dict[str, int]:
        return {self.file.path: self.file.size}

    def read(self, path: str, first: int, end: int) -> bytes:
        return self.fetch(first, end)

    def header(self) -> Header:
        """Return the header of the file. Raises ModelFolderError: it is no whole safetensors file."""
        name, beginning = self.file.path, self.fetch(0, min(self.file.size, 9))
        if beginning.startswith((b"PK", b"\x80")) and not beginning.endswith(b"{"):
            message = f"{name} is a pickle (.ckpt), which can run code when it is read"
            raise ModelFolderError(message, "Use the version of the file in safetensors.")
        if beginning.startswith(b"GGUF"):
            raise ModelFolderError(f"{name} is GGUF, which Easel does not load", "Use the version in safetensors.")
        return read_header(self, name)


class FilesWithExtras:
    """Files of a model, with extras that are not among them: path to size and how it is read."""

    def __init__(self, files: Files, extras: Mapping[str, tuple[int, Fetch]]) -> None:
        self._files, self._extras = files, extras
        self.sizes = {**files.sizes, **{path: size for path, (size, _) in extras.items()}}

    def read(self, path: str, first: int, end: int) -> bytes:
        if path in self._extras:
            return self._extras[path][1](first, end)
        return self._files.read(path, first, end)


class CheckpointSource:
    """A source that writes the files of a conversion, with extras. `open_file` finds the checkpoint."""

    def __init__(
        self,
        fields: dict[str, Any],
        open_file: Callable[[], SingleFile],
        pool: Executor,
        progress: Progress,
        elsewhere: ExtrasElsewhere,
        pipeline: str | None = None,
    ) -> None:
        self.elsewhere = elsewhere
        self._fields, self._open, self._pool, self._progress = fields, functools.cache(open_file), pool, progress
        self._pipeline, self._lock = pipeline, threading.Lock()
        self._failure: Exception | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @functools.cached_property
    def conversion(self) -> Conversion:
        conversion = convert(self._open().header(), self._fields.get("prediction"))
        found = conversion.layout.base.pipeline
        if self._pipeline not in (None, found):
            message = f"the checkpoint makes a {found}, but the model's entry names {self._pipeline}"
            raise ModelFolderError(message, "Correct `pipeline` of the entry, or use another file.")
        return conversion

    @property
    def file(self) -> File:
        """The checkpoint."""
        return self._open().file

    @functools.cached_property
    def extras(self) -> Mapping[str, File]:
        """The extras by their paths. Raises ModelImportError or ModelFolderError: one is missing, or does not fit."""
        found = self.elsewhere.files()
        readers = {path: (file.size, functools.partial(self.elsewhere.fetch, file)) for path, file in found.items()}
        if found:
            check_model(FilesWithExtras(self.conversion, readers), {"": ""}, self._pipeline, found)
        return found

    @property
    def size(self) -> int:
        """Bytes of the converted model and its extras, also if no hash of the checkpoint is on record."""
        return sum(self.conversion.sizes.values()) + sum(file.size for file in self.extras.values())

    def resolve(self) -> Plan:
        single = self._open()
        digest = CONVERTED + single.file.digest
        if single.file.digest.startswith("unknown:"):
            message = f"{single.file.name} has no hash on record, so that nobody could tell a changed file"
            raise ModelImportError(f"{message}. Set `sha256` in the entry's source; `easel models pull` computes it.")
        origin, name = single.file.origin, single.file.name
        files = [File(path, size, digest, origin, name) for path, size in sorted(self.conversion.sizes.items())]
        licence, extras = self._fields.get("licence", single.licence), self.extras.values()
        return Plan(self._fields, {**self.elsewhere.commits(), **single.commits}, licence, (*files, *extras))

    def import_file(self, file: File, bucket: Bucket, key: str) -> None:
        if self.elsewhere.has(file):
            self.elsewhere.import_file(file, bucket, key)
            return
        if file.digest != CONVERTED + self._open().file.digest:
            message = (
                f"{file.name} was replaced after the first deploy of this source. Put another model at another URL"
            )
            raise ModelImportError(f"{message}, or name the new hash.")
        bucket.put_file(key, self._written() / file.path, file)

    def _written(self) -> Path:
        """Return the folder of the converted model, which the first of several threads writes."""
        with self._lock:
            if self._failure:
                raise self._failure
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="easel-checkpoint-")
                try:
                    self.write(Path(self._folder.name))
                except Exception as error:
                    self._failure = error
                    raise
            return Path(self._folder.name)

    def close(self) -> None:
        """Delete what was written to the disk."""
        if self._folder is not None:
            self._folder.cleanup()

    def write(self, folder: Path) -> str:
        """Fetch the checkpoint and write the model into `folder`, without extras. Return the checkpoint's digest.

        Raises ModelImportError or ModelFolderError.
        """
        single, path = self._open(), folder / ".checkpoint"
        conversion = self.conversion  # refuses before the download
        digest = download(single.file, path, single.fetch, self._pool, self._progress)
        write_conversion(conversion, path, folder)
        path.unlink()
        return digest


def write_conversion(conversion: Conversion, checkpoint: Path, folder: Path) -> None:
    """Write the files of a conversion below `folder`. Raises ModelImportError: the disk is full."""
    try:
        with checkpoint.open("rb") as source:

            def read(first: int, end: int) -> bytes:
                source.seek(first)
                return source.read(end - first)

            for path in conversion.files:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                with (folder / path).open("wb") as target:
                    target.writelines(conversion.content(path, read))
    except OSError as error:
        message = (
            f"the converted model cannot be written: {error.strerror}. Free disk space, or correct the permissions"
        )
        raise ModelImportError(f"{message}.") from None
