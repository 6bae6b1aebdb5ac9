"""The import of one model into the prefix of a release."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from .bucket import RELEASES, Bucket
from .files import MANIFEST, File, Plan
from .progress import Progress
from .sources import Source
from .stream import PIECE

RECORDS = "sources/"
"""Prefix of the plans, one for each source."""
_PARALLEL_FILES = 8


@dataclass(frozen=True)
class ImportResult:
    """The release, and what it was made from."""

    prefix: str
    commits: dict[str, str]
    licence: str
    fetched: int
    """Number of files that came from the source, not from the bucket."""


def import_model(
    source_fields: dict[str, Any], code: str, source: Source, bucket: Bucket, progress: Progress
) -> ImportResult:
    """Write all files of the model below a prefix named by their content and by `code`.

    Raises ModelImportError or ModelFolderError.
    """
    plan = recorded_plan(source_fields, source, bucket)
    prefix = RELEASES + release_name(plan, code) + "/"
    progress.total_files, progress.total_bytes = len(plan.files), plan.size
    origin = plan.commits or source_fields
    print(f"{len(plan.files)} files, {plan.size / 1e9:.2f} GB, {origin}, licence {plan.licence}")

    def write(file: File) -> bool:
        fetched = _write_file(file, source, bucket, prefix)
        progress.finish_file(0 if fetched else file.size)
        return fetched

    with ThreadPoolExecutor(_PARALLEL_FILES) as pool:
        fetched = sum(pool.map(write, [file for file in plan.files if file.size <= PIECE]))
    fetched += sum(map(write, [file for file in plan.files if file.size > PIECE]))
    manifest = json.dumps({**asdict(plan), "code": code}, indent=1).encode()
    if bucket.read(prefix + MANIFEST) != manifest:
        bucket.s3.put_object(Bucket=bucket.name, Key=prefix + MANIFEST, Body=manifest)
    return ImportResult(prefix, plan.commits, plan.licence, fetched)


def recorded_plan(source_fields: dict[str, Any], source: Source, bucket: Bucket) -> Plan:
    """Return the plan of the first deploy of this source: a branch that moves later changes nothing."""
    key = f"{RECORDS}{_short_hash(source_fields)}.json"
    recorded = bucket.read(key)
    return Plan.parse(recorded if recorded is not None else bucket.write_once(key, source.resolve().render()))


def release_name(plan: Plan, code: str) -> str:
    """Return 16 hexadecimal digits that depend on the content of the release only."""
    return _short_hash([code, sorted((file.path, file.size, file.digest) for file in plan.files)])


def _write_file(file: File, source: Source, bucket: Bucket, prefix: str) -> bool:
    """Write the file unless it is there. Return whether it came from the source."""
    key = prefix + file.path
    found = bucket.find(file, key)
    if found == key:
        return False
    if found:
        bucket.copy({"Bucket": bucket.name, "Key": found}, key, file)
        return False
    source.import_file(file, bucket, key)
    print(f"wrote {key}, {file.size} bytes, {file.digest}")
    return True


def _short_hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
