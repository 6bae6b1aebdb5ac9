"""The single file that a source names, pinned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from easel.models.given_source import Fields

if TYPE_CHECKING:
    from model_importer.checkpoint.source import SingleFile
    from model_importer.sources import Connect


@dataclass(frozen=True)
class GivenFile:
    """A file, its source, pinned, and what the source says about it. Empty: it does not say it."""

    single: SingleFile
    fields: Fields
    name: str
    licence: str = ""
    page: str = ""
    """Link to a page about the model."""


def is_single(fields: Fields) -> bool:
    """Return whether a source names one file, not a folder."""
    is_object = fields.get("uri", "").endswith(".safetensors")
    return fields["kind"] == "url" or "file" in fields or "checkpoint" in fields or is_object


def open_given(fields: Fields, text: str, connect: Connect) -> GivenFile:
    """Return the file of a source. `text` is the source as it was given. Raises ModelImportError, ModelFolderError."""
    from model_importer.checkpoint.local import local_file
    from model_importer.sources import open_file

    name = text.rpartition("/")[2].removesuffix(".safetensors")
    if local := fields.get("checkpoint"):
        return GivenFile(local_file(Path(local)), fields, name)
    if fields["kind"] == "url":
        about = connect.url(fields["url"]).describe()
        fields = fields | ({"sha256": about.sha256} if about.sha256 else {})
        return GivenFile(open_file(fields, connect), fields, about.name or name, page=about.page)
    single = open_file(fields, connect)
    if fields["kind"] == "s3":
        return GivenFile(single, fields, name)
    fields = fields | {"revision": single.commits[fields["repository"]]}
    page = f"{connect.hub(fields['repository']).url}/{fields['repository']}"
    return GivenFile(single, fields, name, single.licence, page)
