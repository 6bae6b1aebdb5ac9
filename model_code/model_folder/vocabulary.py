"""`vocabulary.json`: the names of all that a small model knows. `generation/vocabulary.py` advises with them."""

from __future__ import annotations

from pathlib import Path

from .errors import ModelFolderError
from .json_files import JSON_BYTES, parse_json

VOCABULARY_FILE = "vocabulary.json"
Vocabulary = tuple[tuple[str, ...], ...]
"""The names of each subject; the first is the main name."""


def read_vocabulary(folder: Path) -> Vocabulary:
    """Return the names in lower case; empty for a folder without a vocabulary.

    Raises ModelFolderError: the file is not a list of lists of names.
    """
    file = folder / VOCABULARY_FILE
    if not file.exists():
        return ()
    subjects = parse_json(file.read_bytes()) if file.is_file() and file.stat().st_size <= JSON_BYTES else None
    if not isinstance(subjects, list) or not all(map(_is_names, subjects)):
        hint = 'Write a list of lists of names, like [["panda", "熊猫"], ["cat"]], or leave the file out.'
        raise ModelFolderError(f"{VOCABULARY_FILE} is not a list of lists of names", hint)
    return tuple(tuple(name.lower() for name in names) for names in subjects)


def _is_names(value: object) -> bool:
    return isinstance(value, list) and value != [] and all(isinstance(name, str) for name in value)
