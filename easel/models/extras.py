"""`easel models add SOURCE --to ID`: a LoRA, a ControlNet or an embedding becomes an item of a model's entry."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from easel.console.errors import ENVIRONMENT, FAILED, USAGE, CommandError
from easel.console.printable import printable
from easel.models import entry_text
from easel.models.control_folder import control_file, control_inputs
from easel.models.extra_kind import ExtraKind, extra_kind
from easel.models.findings import find, model_errors, origin_of
from easel.models.given_file import GivenFile, is_single, open_given
from easel.models.given_source import Fields, refused
from easel.models.proposal import LICENCES, Choices, slug

if TYPE_CHECKING:
    from easel.laptop.catalogue import Entry
    from model_importer.checkpoint.source import SingleFile
    from model_importer.model_folder import Files, Header
    from model_importer.sources import Connect
    from stacks.config.catalogue import Model

_DISTILLED = re.compile(r"(?<![a-z])(lcm|lightning|hyper(?!.real)|turbo)(?![a-z])")
_GENERIC = re.compile(r"(pytorch_lora_weights|diffusion_pytorch_model|learned_embeds)\b")
_TITLES = ("modelspec.title", "modelspec.description", "modelspec.tags", "ss_output_name")
"""Keys of a file's metadata in which its author says what it is."""


@dataclass(frozen=True)
class Added:
    """What was added. `file`: the entry. `copied`: the file beside the model, where it was not yet; `notes`: lines."""

    kind: ExtraKind
    id: str
    file: Path
    copied: Path | None
    notes: list[str]


def add_extra(
    fields: Fields, text: str, entry: Entry, choices: Choices, values: Mapping[str, Any], connect: Connect
) -> Added:
    """Write a LoRA, a ControlNet or an embedding into the entry of a model, with the `values` that are not None.

    Only headers are read, and the whole file where nothing else says its digest. `text` is the source as it
    was given. Nothing is written if this raises CommandError: it is another file, the entry cannot have it, its id is
    in use, or its shapes do not fit the model.
    """
    with model_errors(text):
        fields = control_file(fields, text, connect)
        if not is_single(fields):
            find(fields, text, connect)  # raises for a repository of single files, and names them
            raise refused(text, "it is a model, not a LoRA, a ControlNet or an embedding", "Add it without --to.")
        given = open_given(fields, text, connect)
        header = given.single.header()
        kind = extra_kind(header)
    if kind is None:
        raise refused(text, "it is no LoRA, ControlNet or embedding in a layout that is read", "Add it without --to.")
    if kind.key == "controls":
        inputs = control_inputs(fields, header.shapes, entry.model.pipeline, values.get("inputs"), text)
        values = {**values, "inputs": inputs}
    id = choices.id or slug(choices.name or header.metadata.get("modelspec.title") or _name(given))
    place = _place(given, kind, entry, id, text)
    item = _item(given, id, header, choices, values)
    with model_errors(text):
        item["sha256"] = _digest(given, choices, text)
    new = entry_text.insert(entry.file.read_text(encoding="utf-8"), kind.key, item)
    _check_fit(_parse(new, entry, kind), given.single, kind, id, entry, text, connect)
    copied = _write(new, entry.file, Path(given.fields["checkpoint"]) if place else None, place)
    return Added(kind, id, entry.file, copied, _notes(kind, item, header, choices))


def _name(given: GivenFile) -> str:
    """Return the name of the file, or that of its repository where diffusers named the file."""
    repository: str = given.fields.get("repository", "")
    return repository.partition("/")[2] if repository and _GENERIC.match(given.name) else given.name


def _place(given: GivenFile, kind: ExtraKind, entry: Entry, id: str, text: str) -> Path | None:
    """Return where a file of this machine belongs beside the model, or None: the file is elsewhere."""
    from model_importer.model_folder import extra_path
    from stacks.config.catalogue import FolderSource

    if any(extra.id == id for extra in entry.model.extras.get(kind.key, ())):
        why = f"{entry.model.id} has a {kind.name} of this id"
        raise CommandError("This id cannot be used", where=id, why=why, fix="Choose another: --id …", code=USAGE)
    if "checkpoint" not in given.fields:
        return None
    if not isinstance(entry.model.source, FolderSource):
        why = f"the files of {entry.model.id} come from {entry.model.source.kind}, and this one is on your machine"
        fix = "Give a file of a hub, a link, or an object of S3."
        if entry.on_this_machine:
            add = f"easel models add {quote(str(entry.path))} --id my-{entry.model.id}"
            fix = f"{fix} Or make a model of your copy: {add}, and add the file to that."
        raise refused(text, why, fix)
    if not entry.on_this_machine:
        _ = entry.folder  # raises
    place = entry.path / extra_path(kind.key, id)
    if place.exists() and not place.samefile(given.fields["checkpoint"]):
        why = f"{place} is another file"
        raise CommandError("This id cannot be used", where=id, why=why, fix="Choose another: --id …", code=USAGE)
    return place


def _item(given: GivenFile, id: str, header: Header, choices: Choices, values: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("kind", "repository", "revision", "file", "url", "uri")
    source = {key: given.fields[key] for key in keys if key in given.fields}
    stated = choices.licence or header.metadata.get("modelspec.license") or given.licence
    licence = LICENCES.get(stated.lower(), (printable("" if stated == "unknown" else stated)[:80],))[0]
    more = {
        "name": choices.name,
        "licence": licence or None,
        **values,
        "scheduler": choices.scheduler,
        "steps": choices.steps,
        "guidance_scale": choices.guidance,
        "source": None if "checkpoint" in given.fields else source,
    }
    return {"id": id, "sha256": ""} | {key: value for key, value in more.items() if value is not None}


def _digest(given: GivenFile, choices: Choices, text: str) -> str:
    """Return the SHA-256 of the file: by its source, by the option, or else by reading it."""
    from model_importer.stream import PIECE

    file = given.single.file
    known: str = given.fields.get("sha256") or ""
    if file.digest.startswith("sha256:"):
        known = file.digest.removeprefix("sha256:")
    stated = (choices.sha256 or "").lower()
    if not known and not stated:
        digest = hashlib.sha256()
        for first in range(0, file.size, PIECE):
            digest.update(given.single.fetch(first, min(first + PIECE, file.size)))
        return digest.hexdigest()
    if known and stated not in ("", known):
        raise refused(text, f"its sha256 is {known}, not that of --sha256", "Correct --sha256, or leave it out.")
    return known or stated


def _parse(text: str, entry: Entry, kind: ExtraKind) -> Model:
    """Return the model of an entry's new text. Raises CommandError: the catalogue does not take it."""
    from stacks.config.catalogue import CatalogueError, parse_model

    try:
        return parse_model(text, entry.file.absolute())
    except CatalogueError as error:
        where, fix = str(entry.file), "Correct the options, or the entry."
        raise CommandError(f"The entry cannot have this {kind.name}", where=where, why=str(error), fix=fix) from None


def _check_fit(
    model: Model, single: SingleFile, kind: ExtraKind, id: str, entry: Entry, text: str, connect: Connect
) -> None:
    """Raise CommandError if the file does not fit the model: its files here, or else those of its source."""
    from model_importer.checkpoint.source import FilesWithExtras
    from model_importer.model_folder import check_model, extra_path
    from stacks.config.model_folder import imported_bytes

    where = text if text.startswith("s3://") else origin_of(model)
    with model_errors(where if where.startswith("s3://") else id), _refusals(kind, id):
        files = _files_to_read(entry, connect)
        if files is None:
            imported_bytes(model, connect)
            return
        path = extra_path(kind.key, id)
        together = FilesWithExtras(files, {path: (single.file.size, single.fetch)})
        check_model(together, {"": model.source.variant}, model.pipeline, [path])


def _files_to_read(entry: Entry, connect: Connect) -> Files | None:
    """Return the files of the model, or those that `pull` would make of a file that is here or has no hash on record.

    None: an import finds them.
    """
    from model_importer.checkpoint import convert
    from model_importer.checkpoint.local import local_file
    from model_importer.model_folder import LocalFiles
    from model_importer.sources import open_file
    from stacks.config.catalogue import FolderSource, UrlSource

    source = entry.model.source
    if entry.on_this_machine:
        return LocalFiles(entry.path, links=True)
    if isinstance(source, UrlSource) and source.sha256 is None:
        return convert(open_file(entry.model.source_fields, connect).header(), source.prediction)
    if not isinstance(source, FolderSource):
        return None
    if source.checkpoint is None:
        _ = entry.folder  # raises
    return convert(local_file(Path(source.checkpoint or "")).header(), source.prediction)


@contextmanager
def _refusals(kind: ExtraKind, id: str) -> Iterator[None]:
    """Raise errors of the rule of model folders, and of the catalogue, as CommandError."""
    from model_importer.model_folder import ModelFolderError
    from stacks.config.catalogue import CatalogueError

    try:
        yield
    except (ModelFolderError, CatalogueError) as error:
        why, fix = (error.message, error.hint) if isinstance(error, ModelFolderError) else (str(error), "")
        raise CommandError(f"The {kind.name} is refused", where=id, why=why, fix=fix, code=FAILED) from None


def _write(text: str, file: Path, source: Path | None, place: Path | None) -> Path | None:
    """Write the entry at once, after the copy of a file beside the model. Return the copy, if it was not there."""
    copied = place if source and place and not place.exists() else None
    try:
        if source and copied:
            copied.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, copied)
        entry_text.write(file, text)
    except BaseException as error:  # an interruption, too
        if copied:
            copied.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        why = str(error.strerror)
        raise CommandError("It cannot be written", where=str(file), why=why, fix="", code=ENVIRONMENT) from None
    return copied


def _notes(kind: ExtraKind, item: Mapping[str, Any], header: Header, choices: Choices) -> list[str]:
    """Return the token of an embedding, or what the entry does not say about a LoRA that makes a model faster."""
    if kind.key == "embeddings":
        return [f"A prompt uses it by its token: {item.get('token', item['id'])}"]
    if kind.key == "controls":
        return []
    if choices.scheduler and choices.steps and choices.guidance is not None:
        return []
    titles = " ".join(str(header.metadata.get(key, "")) for key in _TITLES).lower().replace("_", " ")
    found = _DISTILLED.search(titles)
    start = f"Its metadata names {found[1]}: if" if found else "If"
    return [
        f"{start} it is one of LCM, Lightning, Hyper or Turbo, add scheduler, steps and guidance_scale to its item, as "
        "its page says."
    ]
