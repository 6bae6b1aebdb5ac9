"""The models of `models/*.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

from contract import ModelProfile, dumps, parse_profile
from easel import ROOT
from easel.command_error import ENVIRONMENT, USAGE, CommandError

MODELS = ROOT / "models"
_PROFILE = {f.name for f in fields(ModelProfile)}


@dataclass(frozen=True)
class Entry:
    """One model: its profile, and where its files come from."""

    profile: ModelProfile
    source: dict[str, str]

    @property
    def folder(self) -> Path:
        """Its files on this machine. Raises CommandError."""
        if self.here:
            return self._path
        raise CommandError(
            f"The files of {self.profile.id!r} are not on this machine",
            where=f"models/{self.profile.id}.json",
            why=f"its source is {dumps(self.source)}",
            fix="Choose one that `easel models` shows as here.",
            code=ENVIRONMENT,
        )

    @property
    def here(self) -> bool:
        return self.source["kind"] == "folder" and (self._path / "model_index.json").is_file()

    @property
    def _path(self) -> Path:
        return MODELS / self.source.get("path", "")


def entries() -> list[Entry]:
    """Every model, by id."""
    return [_parse(path) for path in sorted(MODELS.glob("*.json"))]


def find(model: str) -> Entry:
    """Raises CommandError that names what there is."""
    known = {entry.profile.id: entry for entry in entries()}
    if model in known:
        return known[model]
    raise CommandError(
        f"There is no model {model!r}",
        where="models/",
        why=f"the catalogue has: {', '.join(known) or 'nothing'}",
        fix=f"easel up --model {next(iter(known), 'ID')}",
        code=USAGE,
    )


def _parse(path: Path) -> Entry:
    value = json.loads(path.read_text(encoding="utf-8"))
    return Entry(parse_profile(dumps({k: v for k, v in value.items() if k in _PROFILE})), value["source"])
