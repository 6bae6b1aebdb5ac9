"""What is to be imported: files with the digest that their source has on record."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from .failure import ImportFailed


@dataclass(frozen=True)
class File:
    """`path` in the release; `digest` is `sha256:…` (large files of a hub), `git-sha1:…` (small ones) or `etag:…` (S3).

    `origin` is the repository and commit, and `name` the path there; of S3 the prefix, and the path below it.
    """

    path: str
    size: int
    digest: str
    origin: str
    name: str


@dataclass(frozen=True)
class Plan:
    """The files of one model: resolved once, then kept to. `commits` tells the commit of each repository."""

    source: dict[str, Any]
    commits: dict[str, str]
    licence: str
    files: tuple[File, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    def render(self) -> str:
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def parse(cls, text: str | bytes) -> Plan:
        told = json.loads(text)
        files = tuple(File(**file) for file in told.pop("files"))
        return cls(**told, files=files)


class DamagedError(ImportFailed):
    """The bytes are not those on record."""


class Digest:
    """Computes the kind of digest that a file has on record, piece by piece."""

    def __init__(self, file: File) -> None:
        self.file = file
        kind = file.digest.partition(":")[0]
        self._hash = hashlib.sha1(usedforsecurity=False) if kind == "git-sha1" else hashlib.sha256()
        if kind == "git-sha1":
            self._hash.update(b"blob %d\0" % file.size)

    def update(self, data: bytes) -> None:
        self._hash.update(data)

    def verify(self) -> None:
        """Raises DamagedError unless all that came is the file on record."""
        kind, _, wanted = self.file.digest.partition(":")
        if self._hash.hexdigest() != wanted:
            raise DamagedError(
                f"{self.file.name} has the {kind} {self._hash.hexdigest()}, on record is {wanted}: it was damaged "
                "on its way or changed at its source. Nothing of it was kept. Deploy again; if it stays, use another "
                "hub_url."
            )
