"""`easel models remove ID --extra`: a LoRA, a ControlNet or an embedding leaves a model's entry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from easel.console.errors import ENVIRONMENT, USAGE, CommandError
from easel.laptop.catalogue import Entry
from easel.models import entry_text
from easel.models.pulled import delete, is_pulled
from model_importer.model_folder import EXTRAS, extra_path


@dataclass(frozen=True)
class Removal:
    """What leaves. `text`: the new entry, or None if it stays; `downloaded`: the file that `pull` wrote, or None."""

    entry: Entry
    item: str
    text: str | None
    downloaded: Path | None
    notes: list[str]

    @property
    def parts(self) -> list[str]:
        """What is deleted, as people read it."""
        item = [] if self.text is None else [f"{self.item} of {self.entry.file}"]
        return [*item, *([str(self.downloaded)] if self.downloaded else [])]

    def run(self) -> None:
        """Delete. Raises CommandError."""
        path = self.entry.file
        try:
            if self.text is not None:  # first: a model without the file of an item would not start
                entry_text.write(path, self.text)
            if self.downloaded:
                path = self.downloaded
                delete(path)
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise CommandError("It cannot be deleted", where=str(path), why=why, fix="", code=ENVIRONMENT) from None


def plan_removal(entry: Entry, name: str, *, files_only: bool) -> Removal:
    """Return what leaves if the extra `name` does: an id, or its folder and id. With `files_only` its item stays.

    Raises CommandError: the model has no such extra, or several, or nothing would leave.
    """
    key, id = _find(entry, name)
    path = entry.path / extra_path(key, id)
    inside = path.is_file() and path.parent.resolve().is_relative_to(entry.path.resolve())
    downloaded = path if inside and is_pulled(entry.path.absolute(), extra_path(key, id)) else None
    if files_only and not downloaded:
        why = f"easel models pull wrote no file {path}"
        raise CommandError("There is nothing to delete", where=name, why=why, fix="Leave out --files.")
    text = None if files_only else entry_text.remove(entry.file.read_text(encoding="utf-8"), key, id)
    stays = path.is_file() and not downloaded
    notes = [f"{path} stays: easel models pull did not write it. Delete it yourself."] if stays else []
    return Removal(entry, f"{key}/{id}", text, downloaded, notes)


def _find(entry: Entry, name: str) -> tuple[str, str]:
    """Return folder and id of an extra."""
    known = [f"{key}/{extra.id}" for key, extras in entry.model.extras.items() for extra in extras]
    found = [path for path in known if name in (path, path.partition("/")[2])]
    if len(found) == 1:
        key, _, id = found[0].partition("/")
        return key, id
    has = ", ".join(found or known) or f"no {', no '.join(kind.name for kind in EXTRAS.values())}"
    message = "Several extras have this id" if found else "The model has no such extra"
    fix = f"Name one of them: --extra {found[0]}" if found else ""
    raise CommandError(message, where=name, why=f"{entry.model.id} has {has}", fix=fix, code=USAGE)
