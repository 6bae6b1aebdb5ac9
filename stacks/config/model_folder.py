"""The files of a model that a deploy releases or imports. Used by the stacks, `easel doctor` and the notebook."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from model_importer.model_folder import ModelFolderError, select_local_files
from stacks.config.catalogue import CatalogueError, HubSource, Model, S3Source

CONTENT_HELP = "docs/how-to/own-model.md says what belongs there."


def released_files(
    folder: Path, variant: str | None = None, pipeline: str | None = None, loras: Mapping[str, str] | None = None
) -> list[str]:
    """Return the paths to release, sorted: settings, tokenizers, safetensors of one variant, LoRAs, and the vocabulary.

    `variant` is that of the entry's source, `pipeline` and `loras` (id to sha256) those of the entry. Raises
    CatalogueError: the folder cannot be released.
    """
    try:
        return select_local_files(folder, variant, pipeline, loras)
    except ModelFolderError as error:
        raise CatalogueError(f"{folder} cannot be released: {error} {CONTENT_HELP}") from None


def imported_bytes(model: Model, source: HubSource | S3Source, hub: Callable[[str], Any], s3: Any = None) -> int:
    """Return the bytes of the files that an import of the model takes.

    They are chosen and checked as the import does it: settings and the headers of weights are read. `hub` returns the
    importer's Hub of a repository. Raises CatalogueError for a model that the import refuses, ModelImportError if a
    file cannot be read, or what boto3 raises.
    """
    from model_importer import sources
    from model_importer.progress import Progress

    fields, progress = model.source_fields, Progress(lambda state: None)
    try:
        with ThreadPoolExecutor(1) as pool:
            if isinstance(source, S3Source):
                return sources.S3Source(fields, s3, progress, model.pipeline).resolve().size
            return sources.HubSource(fields, hub, pool, progress, model.pipeline).resolve().size
    except ModelFolderError as error:
        raise CatalogueError(f"{model.id} would not be imported: {error}") from None
