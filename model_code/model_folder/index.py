"""`model_index.json`: the class of the pipeline and of its parts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .classes import FOR_INPAINTING, PIPELINES, PipelineFamily, library_of
from .errors import ModelFolderError
from .json_files import parse_settings

INDEX_FILE = "model_index.json"
INDEX_BYTES = 100_000
"""The largest index that is read."""
_SHOWN_CHARS = 80
"""Characters of a foreign name in a message."""
_TOGETHER = (
    ("text_encoder", "tokenizer"),
    ("tokenizer", "text_encoder"),
    ("text_encoder_3", "tokenizer_3"),
    ("tokenizer_3", "text_encoder_3"),
    ("pe", "pe_tokenizer"),
    ("pe_tokenizer", "pe"),
    ("safety_checker", "feature_extractor"),
)
"""Optional parts, and the part that each of them needs."""
_COMPLETE = "Use a complete copy of the model."

Setting = str | bool | int | float | None


@dataclass(frozen=True)
class Component:
    """A part of a pipeline. `name` is its key in the index and its subfolder."""

    name: str
    library: str
    class_name: str


@dataclass(frozen=True)
class ModelIndex:
    """A checked index: all classes are known, and the parts are those of the pipeline."""

    pipeline: str
    components: tuple[Component, ...]
    unused: frozenset[str]
    """Optional parts that are missing or `[null, null]`: the pipeline runs without them."""
    settings: Mapping[str, Setting]
    """Arguments of the pipeline that are no parts."""

    @property
    def component_names(self) -> list[str]:
        return [component.name for component in self.components]


def parse_index(content: bytes) -> ModelIndex:
    """Return the index. Raises ModelFolderError, which names the part."""
    if len(content) > INDEX_BYTES:
        raise ModelFolderError(f"{INDEX_FILE} is too large", f"It may have {INDEX_BYTES} bytes.")
    index = parse_settings(INDEX_FILE, content)
    named = str(index.get("_class_name"))
    pipeline = FOR_INPAINTING.get(named, named)
    if pipeline not in PIPELINES:
        shown = pipeline[:_SHOWN_CHARS]
        raise ModelFolderError(f"{INDEX_FILE} names the pipeline {shown!r}", f"Use one of: {', '.join(PIPELINES)}.")
    check_not_quantised(INDEX_FILE, index)
    family = PIPELINES[pipeline]
    entries = {name: value for name, value in index.items() if not name.startswith("_")}
    settings = {name: value for name, value in entries.items() if _is_setting(name, value, pipeline, family)}
    given = {name: value for name, value in entries.items() if name in family.parts and not _is_null(value)}
    components = tuple(_component(name, value, family.parts[name]) for name, value in given.items())
    for name in family.parts:
        if name not in given and name not in family.optional:
            raise ModelFolderError(f"{INDEX_FILE} has no {name}, which {pipeline} needs", _COMPLETE)
    _check_together(given, family)
    return ModelIndex(pipeline, components, frozenset(family.parts.keys() - given.keys()), settings)


def check_not_quantised(path: str, settings: Mapping[str, Any]) -> None:
    """Raise ModelFolderError for a part whose weights need a library of quantisation, like bitsandbytes or GGUF."""
    quantisation = settings.get("quantization_config")
    if quantisation:
        method = quantisation.get("quant_method") if isinstance(quantisation, dict) else None
        shown = f" ({str(method)[:_SHOWN_CHARS]})" if method else ""
        hint = "Use the repository that it was made from, whose weights are float16, bfloat16 or float32."
        raise ModelFolderError(f"{path} is of a quantised model{shown}, which Easel does not load", hint)


def _is_null(value: Any) -> bool:
    return value is None or value == [None, None]


def _is_setting(name: str, value: Any, pipeline: str, family: PipelineFamily) -> bool:
    """Return whether an entry is a plain value. Raises ModelFolderError for a part that the pipeline does not have."""
    if name in family.parts:
        return False
    if isinstance(value, Setting) and re.fullmatch(r"\w+", name, re.ASCII):
        return True
    if _is_null(value):
        return False
    shown = f"{INDEX_FILE} names the part {name[:_SHOWN_CHARS]!r}, which {pipeline} does not have"
    raise ModelFolderError(shown, f"Its parts are {', '.join(sorted(family.parts))}. Remove the entry.")


def _component(name: str, value: Any, classes: tuple[str, ...]) -> Component:
    library, class_name = value if isinstance(value, list) and len(value) == 2 else ("", value)
    if class_name in classes and library == library_of(class_name):
        return Component(name, library, class_name)
    shown = ".".join(str(item)[:_SHOWN_CHARS] for item in (value if isinstance(value, list) else [value]))
    allowed = ", ".join(f"{library_of(item)}.{item}" for item in classes)
    raise ModelFolderError(f"{INDEX_FILE} names {shown[:200]} as {name}", f"Use a model whose {name} is {allowed}.")


def _check_together(given: Mapping[str, Any], family: PipelineFamily) -> None:
    for name, needed in _TOGETHER:
        if name in given and needed in family.parts and needed not in given:
            raise ModelFolderError(f"{INDEX_FILE} has {name} but no {needed}", f"Use both or neither. {_COMPLETE}")
