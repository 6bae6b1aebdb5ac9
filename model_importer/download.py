"""Files on this machine's disk: written beside their place, checked, and then moved there."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import Executor
from pathlib import Path

from .errors import DigestMismatchError, ModelImportError
from .files import File
from .progress import Progress
from .stream import SMALL_PIECE, Fetch, Stream


def download(file: File, path: Path, fetch: Fetch, pool: Executor, progress: Progress) -> str:
    """Write `file` to `path`. If an earlier run left its first bytes, fetch only the rest.

    Return its hexadecimal digest, of the kind on record. Raises ModelImportError.
    """
    identity = hashlib.sha256(f"{file.origin} {file.name} {file.digest} {file.size}".encode()).hexdigest()[:12]
    part = path.with_name(f".{identity}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
        digest = _complete(file, part, fetch, pool, progress)
        part.replace(path)
    except OSError as error:
        message = f"{file.name} cannot be written: {error.strerror}. Free disk space, or correct the permissions."
        raise ModelImportError(message) from None
    except DigestMismatchError:
        part.unlink()
        raise
    return digest


def _complete(file: File, part: Path, fetch: Fetch, pool: Executor, progress: Progress) -> str:
    present = part.stat().st_size
    if present >= file.size:  # its last bytes were not checked
        os.truncate(part, present := 0)
    with part.open("r+b") as target, part.open("rb") as written:

        def read(first: int, end: int) -> bytes:
            written.seek(first)
            return written.read(end - first)

        stream = Stream(file, fetch, pool, progress.add_fetched, present, read, SMALL_PIECE)
        try:
            target.seek(present)
            stream.skip(present)
            progress.add_present(present)
            for data in iter(lambda: stream.read(SMALL_PIECE), b""):
                target.write(data)
        finally:
            stream.close()
    return stream.digest
