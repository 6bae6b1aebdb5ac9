"""The files of a model that a deploy releases or imports. Used by the stacks, `easel doctor` and the notebook."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from model_importer.model_folder import ModelFolderError, select_local_files
from stacks.config.catalogue import CatalogueError, Model

if TYPE_CHECKING:
    from model_importer.sources import Connect

CONTENT_HELP = "docs/how-to/own-model.md says what belongs there."


def released_files(
    folder: Path, variant: str | None = None, pipeline: str | None = None, extras: Mapping[str, str] | None = None
) -> list[str]:
    """Return the paths to release, sorted: settings, tokenizers, weights of one variant, extras and the vocabulary.

    `variant` is that of the entry's source, `pipeline` and `extras` (path to sha256) those of the entry. Raises
    CatalogueError: the folder cannot be released.
    """
    try:
        return select_local_files(folder, variant, pipeline, extras)
    except ModelFolderError as error:
        raise CatalogueError(f"{folder} cannot be released: {error} {CONTENT_HELP}") from None


def imported_bytes(model: Model, connect: Connect, *, needs_hash: bool = True) -> int:
    """Return the bytes of the files that an import of the model takes.

    `needs_hash`: refuse a checkpoint without a hash on record, as an import does and `easel models pull` does not.

    They are chosen and checked as the import does it: settings and the headers of weights are read. Raises
    CatalogueError for a model that the import refuses, ModelImportError if a file cannot be read, or what boto3 raises.
    """
    from model_importer.checkpoint.source import CheckpointSource
    from model_importer.progress import Progress
    from model_importer.sources import open_source

    try:
        with ThreadPoolExecutor(1) as pool:
            source = open_source(model.source_fields, connect, pool, Progress(lambda state: None), model.pipeline)
            if isinstance(source, CheckpointSource) and not needs_hash:
                return source.size
            return source.resolve().size
    except ModelFolderError as error:
        raise CatalogueError(f"{model.id} would not be imported: {error}") from None
