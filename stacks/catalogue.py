"""Reads one model of the catalogue: `models/<id>.json`, standard library only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROFILE = (
    "id", "name", "licence", "sizes", "max_side", "steps", "guidance_scale", "scheduler", "schedulers", "enlarges",
    "budget", "suggestions",
)  # fmt: skip
"""The keys of an entry that a request needs: the fields of the contract's `ModelProfile`."""
CONTAINER_BYTES = 1024
"""The longest value that SageMaker takes for a container's variable."""
FUNCTION_BYTES = 3072
"""Lambda takes 4 KB for all variables of a function."""


class CatalogueError(ValueError):
    """A model that cannot be released: which, why, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """One model as the stacks need it. `profile` is JSON for the functions, `container_profile` for the container."""

    id: str
    folder: Path
    profile: str
    container_profile: str


def read_model(name: str, root: Path) -> Model:
    """The entry `models/<name>.json` below `root`, or, for a path, the model folder with `<path>.json` beside it.

    Raises CatalogueError.
    """
    path = _entry_path(name, root)
    entry = _read_entry(path)
    folder = Path(name) if "/" in name else root / _source_folder(entry, path)
    if not (folder / "model_index.json").is_file():
        raise CatalogueError(f"{folder} is not a diffusers pipeline: it has no model_index.json.")
    profile = {key: entry[key] for key in PROFILE if key in entry}
    small = {key: value for key, value in profile.items() if key != "suggestions"}
    return Model(
        id=entry["id"],
        folder=folder,
        profile=_render(profile, FUNCTION_BYTES, path),
        container_profile=_render(small, CONTAINER_BYTES, path),
    )


def _entry_path(name: str, root: Path) -> Path:
    path = Path(f"{name}.json") if "/" in name else root / "models" / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(path.stem for path in (root / "models").glob("*.json")))
        raise CatalogueError(f"There is no model {name!r}: {path} does not exist. The catalogue has: {known}.")
    return path


def _render(profile: dict[str, Any], limit: int, path: Path) -> str:
    text = json.dumps(profile, ensure_ascii=False, separators=(",", ":"))
    if len(text.encode()) > limit:
        raise CatalogueError(
            f"{path}: the profile has {len(text.encode())} bytes; AWS takes {limit} in a variable. "
            "Shorten the name, the licence, the suggestions or the list of sizes."
        )
    return text


def _read_entry(path: Path) -> dict[str, Any]:
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CatalogueError(f"{path} is not JSON: {error}.") from None
    missing = [key for key in PROFILE[:9] if key not in entry]
    if missing:
        raise CatalogueError(f"{path} lacks {', '.join(missing)}.")
    return dict(entry)


def _source_folder(entry: dict[str, Any], path: Path) -> str:
    source = entry.get("source", {})
    if source.get("kind") != "folder":
        raise CatalogueError(f"{path}: only models with a folder as their source can be released today.")
    return str(source["path"])
