"""The models that can be run: those of `models/*.json`, and entries elsewhere by their path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contract import ModelProfile, parse_profile
from easel import ROOT
from easel.console.errors import ENVIRONMENT, USAGE, CommandError
from stacks.config.catalogue import CatalogueError, FolderSource, Model, model_ids, read_model


@dataclass(frozen=True)
class Entry:
    """One model: its profile, and where its files come from."""

    model: Model

    @property
    def profile(self) -> ModelProfile:
        return parse_profile(self.model.profile)

    @property
    def folder(self) -> Path:
        """Its files on this machine. Raises CommandError."""
        if self.here:
            return self._path
        raise CommandError(
            f"The files of {self.model.id!r} are not on this machine",
            where=str(self._path),
            why="there is no model_index.json",
            fix="Choose one that `easel models` shows as here, or get the files: docs/models.md, On a laptop.",
            code=ENVIRONMENT,
        )

    @property
    def here(self) -> bool:
        return (self._path / "model_index.json").is_file()

    @property
    def _path(self) -> Path:
        """Where they are, or would be after a download."""
        source = self.model.source
        return source.path if isinstance(source, FolderSource) else ROOT / "models" / self.model.id


def entries() -> Iterator[Entry]:
    """Every model of the catalogue, by id. Raises CommandError after them where an entry cannot be read."""
    refused: list[CommandError] = []
    for name in model_ids(ROOT):
        try:
            entry = find(name)
        except CommandError as error:
            error.fix = "Mend the entry, or take it out of models/"
            refused.append(error)
        else:
            yield entry
    if refused:
        raise refused[0]


def find(model: str) -> Entry:
    """Raises CommandError that names what there is."""
    try:
        return Entry(read_model(model, ROOT))
    except CatalogueError as error:
        raise CommandError(
            f"The model {model!r} cannot be read",
            where="models/",
            why=str(error),
            fix="easel models",
            code=USAGE,
        ) from None
