"""The models that can be run: those of `models/*.json`, and entries elsewhere by their path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from contract import ModelProfile, parse_profile
from easel import ROOT
from easel.command_error import ENVIRONMENT, USAGE, CommandError
from stacks.catalogue import CatalogueError, FolderSource, Model, model_ids, read_model


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
        if self.here and isinstance(self.model.source, FolderSource):
            return self.model.source.path
        raise CommandError(
            f"The files of {self.model.id!r} are not on this machine",
            where=f"the entry of {self.model.id}",
            why=f"its source is {self.model.source}",
            fix="Choose one that `easel models` shows as here, or give an entry of a folder of yours: docs/models.md.",
            code=ENVIRONMENT,
        )

    @property
    def here(self) -> bool:
        source = self.model.source
        return isinstance(source, FolderSource) and (source.path / "model_index.json").is_file()


def entries() -> list[Entry]:
    """Every model of the catalogue, by id."""
    return [Entry(read_model(name, ROOT)) for name in model_ids(ROOT)]


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
