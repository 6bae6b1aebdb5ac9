"""`model_index.json`: the class of the pipeline and of its components."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .classes import COMPONENTS, PIPELINES
from .errors import ModelFolderError
from .json_files import parse_settings

INDEX_FILE = "model_index.json"
INDEX_BYTES = 100_000
"""The largest index that is read."""
_SHOWN_CHARS = 80
"""Characters of a foreign name in a message."""


@dataclass(frozen=True)
class Component:
    """A part of a pipeline. `name` is its key in the index and its subfolder."""

    name: str
    library: str
    class_name: str


@dataclass(frozen=True)
class ModelIndex:
    """A checked index: all classes are known."""

    pipeline: str
    components: tuple[Component, ...]
    unused: frozenset[str]
    """Components that are `[null, null]`: the pipeline runs without them."""

    @property
    def component_names(self) -> list[str]:
        return [component.name for component in self.components]


def parse_index(content: bytes) -> ModelIndex:
    """Return the index. Raises ModelFolderError: too large, not a JSON object, or an unknown class."""
    if len(content) > INDEX_BYTES:
        raise ModelFolderError(f"{INDEX_FILE} is too large", f"It may have {INDEX_BYTES} bytes.")
    index = parse_settings(INDEX_FILE, content)
    pipeline = str(index.get("_class_name"))
    if pipeline not in PIPELINES:
        shown = pipeline[:_SHOWN_CHARS]
        raise ModelFolderError(f"{INDEX_FILE} names the pipeline {shown!r}", f"Use one of: {', '.join(PIPELINES)}.")
    entries = {name: value for name, value in index.items() if not name.startswith("_") and isinstance(value, list)}
    unused = frozenset(name for name, value in entries.items() if value == [None, None])
    return ModelIndex(pipeline, tuple(_components(entries, unused)), unused)


def _components(entries: Mapping[str, list[Any]], unused: frozenset[str]) -> Iterator[Component]:
    for name, value in entries.items():
        if name in unused:
            continue
        library, class_name = (str(item) for item in value) if len(value) == 2 else ("", "")
        if not re.fullmatch(r"\w+", name, re.ASCII) or class_name not in COMPONENTS.get(library, ()):
            shown = f"{library[:_SHOWN_CHARS]}.{class_name[:_SHOWN_CHARS]} as {name[:_SHOWN_CHARS]}"
            raise ModelFolderError(
                f"{INDEX_FILE} names {shown}", "Use a model of known classes of diffusers and transformers only."
            )
        yield Component(name, library, class_name)
