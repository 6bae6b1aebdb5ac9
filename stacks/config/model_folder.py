"""The files of a local model folder that a deploy releases. Used by the stacks, `easel doctor` and the notebook."""

from __future__ import annotations

from pathlib import Path

from model_importer.model_folder import ModelFolderError, select_local_files
from stacks.config.catalogue import CatalogueError

CONTENT_HELP = "docs/how-to/own-model.md says what belongs there."


def released_files(folder: Path, variant: str | None = None) -> list[str]:
    """Return the paths to release, sorted: settings, tokenizers, safetensors of one variant, and the vocabulary.

    `variant` is that of the entry's source. Raises CatalogueError: the folder cannot be released.
    """
    try:
        return select_local_files(folder, variant)
    except ModelFolderError as error:
        raise CatalogueError(f"{folder} cannot be released: {error} {CONTENT_HELP}") from None
