"""The files to import, with the digests that their source has on record."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from .errors import DigestMismatchError

MANIFEST = "release.json"
"""File of a release: its plan."""


@dataclass(frozen=True)
class File:
    """One file.

    `digest` is `sha256:…` (large files of a hub), `git-sha1:…` (small ones), `etag:…` (S3), `unknown:…` (the ETag of a
    URL without a hash on record) or `converted:` and the digest of the checkpoint that it is made of.
    """

    path: str
    """In the release."""
    size: int
    digest: str
    origin: str
    """`repository@commit` of a hub, or a prefix of S3."""
    name: str
    """The path in the origin."""


@dataclass(frozen=True)
class Plan:
    """The files of one model. It is resolved once and then kept in the bucket.

    `commits` has the commit of each repository.
    """

    source: dict[str, Any]
    commits: dict[str, str]
    licence: str
    files: tuple[File, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def render(self) -> str:
        """Return JSON. Inverse of `parse`."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def parse(cls, text: str | bytes) -> Plan:
        fields = json.loads(text)
        files = tuple(File(**file) for file in fields.pop("files"))
        return cls(**fields, files=files)


class Digest:
    """The digest of a file, of the kind that its source has on record. Computed piece by piece."""

    def __init__(self, file: File) -> None:
        self.file = file
        kind = file.digest.partition(":")[0]
        self._hash = hashlib.sha1(usedforsecurity=False) if kind == "git-sha1" else hashlib.sha256()
        if kind == "git-sha1":
            self._hash.update(b"blob %d\0" % file.size)

    def update(self, data: bytes) -> None:
        self._hash.update(data)

    @property
    def hex(self) -> str:
        """The digest of the data so far."""
        return self._hash.hexdigest()

    def verify(self) -> None:
        """Raise DigestMismatchError unless all the data is the file on record. S3 checks its ETag itself."""
        kind, _, recorded = self.file.digest.partition(":")
        if kind not in ("etag", "unknown") and self._hash.hexdigest() != recorded:
            raise DigestMismatchError(
                f"{self.file.name} has the {kind} {self._hash.hexdigest()}, on record is {recorded}: it was damaged "
                "on the way or changed at its source. Nothing of it was kept. Try again; if the error stays, use "
                "another source or mirror."
            )
