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
VARIABLE_CHARS = 1024
"""The longest value that SageMaker takes for a container's variable."""


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
    entry_file = Path(f"{name}.json") if "/" in name else root / "models" / f"{name}.json"
    if not entry_file.is_file():
        known = ", ".join(sorted(path.stem for path in (root / "models").glob("*.json")))
        raise CatalogueError(f"There is no model {name!r}: {entry_file} does not exist. The catalogue has: {known}.")
    entry = _read_entry(entry_file)
    folder = Path(name) if "/" in name else root / _source_folder(entry, entry_file)
    if not (folder / "model_index.json").is_file():
        raise CatalogueError(f"{folder} is not a diffusers pipeline: it has no model_index.json.")
    profile = {key: entry[key] for key in PROFILE if key in entry}
    small = _render({key: value for key, value in profile.items() if key != "suggestions"})
    if len(small) > VARIABLE_CHARS:
        raise CatalogueError(
            f"{entry_file}: the profile has {len(small)} characters; SageMaker takes {VARIABLE_CHARS} in a variable. "
            "Shorten the name, the licence or the list of sizes."
        )
    return Model(id=entry["id"], folder=folder, profile=_render(profile), container_profile=small)


def _render(profile: dict[str, Any]) -> str:
    return json.dumps(profile, ensure_ascii=False, separators=(",", ":"))


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
