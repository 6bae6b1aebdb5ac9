"""The revision of a model, which image files with parameters have."""

import json
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from model_folder import EXTRAS, CheckedModel

MANIFEST = "release.json"
"""What a release, and a folder of `easel models pull`, says about the source of its files."""
HASHED_BYTES = 64 * 2**20
"""Without a manifest, a model of at most this size is hashed while it loads: in less than a second."""


def read_revision(folder: Path, checked: CheckedModel) -> str:
    """Return the commit of the model's repository, or each with its repository if its parts have several.

    Without commits: 16 hexadecimal digits that depend on the content of the files. Empty: it is not known.
    """
    paths = {path for path in checked.files if path.partition("/")[0] not in EXTRAS}
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        source = manifest["source"]
        own = {source.get("repository"), *(part["repository"] for part in source.get("parts", {}).values())}
        commits = {name: commit for name, commit in manifest["commits"].items() if name in own}
        digests = {file["path"]: str(file["digest"]) for file in manifest["files"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return _hash_files(folder, paths)
    if commits:
        single = len(commits) == 1
        return ", ".join(str(commit) if single else f"{name}@{commit}" for name, commit in commits.items())
    return _short_hash((path, digests.get(path, "")) for path in paths)


def _hash_files(folder: Path, paths: Iterable[str]) -> str:
    files = {path: folder / path for path in paths}
    if sum(file.stat().st_size for file in files.values()) > HASHED_BYTES:
        return ""
    return _short_hash((path, f"sha256:{sha256(file.read_bytes()).hexdigest()}") for path, file in files.items())


def _short_hash(digests: Iterable[tuple[str, str]]) -> str:
    return sha256(json.dumps(sorted(digests)).encode()).hexdigest()[:16]
