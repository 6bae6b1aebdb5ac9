"""One import: from a source into the prefix of a release."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from .bucket import RELEASES, Bucket
from .files import File, Plan
from .progress import Progress
from .sources import Source
from .stream import PIECE

RECORDS = "sources/"
MANIFEST = "release.json"
_SIDE_BY_SIDE = 8


@dataclass(frozen=True)
class Imported:
    """What the release is called, and what is in it."""

    prefix: str
    commits: dict[str, str]
    licence: str
    fetched: int
    """Files that came from the source, and not from the bucket itself."""


def bring(told: dict[str, Any], code: str, source: Source, bucket: Bucket, progress: Progress) -> Imported:
    """Lays all files of the model below the prefix that is named by them and by `code`. Raises ImportFailed."""
    plan = remembered(told, source, bucket)
    prefix = RELEASES + name(plan, code) + "/"
    progress.all_files, progress.all_bytes = len(plan.files), plan.size
    print(f"{len(plan.files)} files, {plan.size / 1e9:.2f} GB, {plan.commits or told}, licence {plan.licence}")

    def lay(file: File) -> bool:
        fetched = _lay(file, source, bucket, prefix)
        progress.settle(0 if fetched else file.size)
        return fetched

    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        fetched = sum(pool.map(lay, [file for file in plan.files if file.size <= PIECE]))
    fetched += sum(map(lay, [file for file in plan.files if file.size > PIECE]))
    manifest = json.dumps({**asdict(plan), "code": code}, indent=1).encode()
    if bucket.read(prefix + MANIFEST) != manifest:
        bucket.s3.put_object(Bucket=bucket.name, Key=prefix + MANIFEST, Body=manifest)
    return Imported(prefix, plan.commits, plan.licence, fetched)


def remembered(told: dict[str, Any], source: Source, bucket: Bucket) -> Plan:
    """What this source was when it was first deployed: a branch that moves on changes nothing here."""
    key = f"{RECORDS}{_short(told)}.json"
    known = bucket.read(key)
    return Plan.parse(known if known is not None else bucket.write_once(key, source.resolve().render()))


def name(plan: Plan, code: str) -> str:
    """Says what is in a release: 16 hexadecimal digits."""
    return _short([code, sorted((file.path, file.size, file.digest) for file in plan.files)])


def _lay(file: File, source: Source, bucket: Bucket, prefix: str) -> bool:
    """Whether the source had to be asked."""
    key = prefix + file.path
    found = bucket.find(file, key)
    if found == key:
        return False
    if found:
        bucket.copy({"Bucket": bucket.name, "Key": found}, key, file)
        return False
    source.bring(file, bucket, key)
    print(f"wrote {key}, {file.size} bytes, {file.digest}")
    return True


def _short(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
