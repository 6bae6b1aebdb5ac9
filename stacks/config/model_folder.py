"""What of a model folder on this machine is released: what the importer takes of a folder in S3, and the model's names.

No CDK: `easel doctor` and the notebook ask, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from model_importer.choice import INDEX, UNSAID, choose, read_object
from model_importer.failure import ImportFailed
from stacks.config.catalogue import CatalogueError

VOCABULARY = "vocabulary.json"
"""The names of all that a small model draws, for its advice: `model_code/generation/vocabulary.py` reads them."""
BELONGS = "docs/aws.md, 'A model folder of yours', says what belongs there."


def released_files(folder: Path) -> list[str]:
    """Paths below the folder, sorted: safetensors of one variant, settings, tokenizers, and its vocabulary.

    Raises CatalogueError: what in it cannot be released, and the way out.
    """
    try:
        return _chosen(folder)
    except ImportFailed as error:
        raise CatalogueError(f"{folder} cannot be released: {error} {BELONGS}") from None


def _chosen(folder: Path) -> list[str]:
    names = list(_names(folder))
    if INDEX not in names:
        raise ImportFailed(f"it is not a diffusers pipeline: it has no {INDEX}.")

    def read(name: str) -> bytes:
        return (folder / name).read_bytes()

    index = read_object(INDEX, read(INDEX))
    chosen = choose(names, index, dict.fromkeys(index, UNSAID), read)
    for name in chosen:
        if name.endswith(".json"):
            read_object(name, read(name))
    return sorted({*chosen, VOCABULARY} & {*names})


def _names(folder: Path) -> Iterator[str]:
    """Of the files where a pipeline has some: at the top and in its parts. Hidden ones are nobody's."""
    for path in (*folder.glob("*"), *folder.glob("*/*")):
        name = path.relative_to(folder)
        if any(part.startswith(".") for part in name.parts):
            continue
        if path.is_symlink():
            raise ImportFailed(f"{name.as_posix()} is a symbolic link. Put there what it leads to, as cp -rL does.")
        if path.is_file():
            yield name.as_posix()
