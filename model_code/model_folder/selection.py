"""The rule: which files of a folder belong to a model, and whether they load."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .classes import PIPELINES, has_weights
from .errors import ModelFolderError
from .extras.controls import check_control
from .extras.embeddings import check_embedding
from .files import Files, read_settings
from .index import INDEX_BYTES, INDEX_FILE, Component, ModelIndex, parse_index
from .loras import Modules, check_lora
from .parts import Settings, check_chat_template, check_part
from .printable import printable
from .safetensors_header import read_shapes
from .values import check_together, check_values
from .weights import Weights, is_weights, select_weights, variants_of, weights_stem

NAME_BYTES = 255
"""The longest file name in SageMaker's uncompressed model data."""
_SETTINGS = re.compile(r"(?!model_index).*\.(json|jinja|model)|merges\.txt|vocab\.txt")
"""Settings and tokenizers."""


@dataclass(frozen=True)
class CheckedModel:
    """A model that loads: catalogue, import, release, doctor and container take exactly these files."""

    index: ModelIndex
    files: tuple[str, ...]
    """Paths, sorted: the index, the settings and weights of each part, and the extras."""
    weights: Mapping[str, Weights]
    """The weights of each part that has some."""
    extras: tuple[str, ...] = ()
    """Paths of the LoRAs, ControlNets and embeddings."""


def check_model(
    files: Files, variants: Mapping[str, str | None], pipeline: str | None = None, extras: Iterable[str] = ()
) -> CheckedModel:
    """Return the files of a model.

    `variants` maps parts to variants, and "" to that of the others; None prefers fp16. `pipeline` is the class in the
    model's entry, `extras` has the paths of its LoRAs, ControlNets and embeddings. Nothing but settings and the headers
    of weights is read. Raises ModelFolderError: part, file and what to do.
    """
    for path in files.sizes:
        _check_path(path)
    index = parse_index(_read_index(files))
    _check_pipeline(index, pipeline)
    names = {part.name: _names(files, part.name) for part in index.components}
    wanted = {part.name: variants.get(part.name, variants.get("")) for part in index.components}
    _check_variants(index, names, wanted)
    selected, weights = {INDEX_FILE}, dict[str, Weights]()
    settings, tensors = dict[str, Settings](), dict[str, dict[str, tuple[int, ...]]]()
    for part in index.components:
        settings[part.name] = _read_part(files, part, names[part.name])
        selected |= {f"{part.name}/{name}" for name in names[part.name] if _is_setting(part, name)}
        check_part(part, names[part.name], settings[part.name])
        if part.name == PIPELINES[index.pipeline].chat:
            check_chat_template(part.name, names[part.name], settings[part.name])
        if has_weights(part.class_name):
            found = _select_weights(files, part, names[part.name], wanted[part.name])
            weights[part.name], tensors[part.name] = found, _read_tensors(files, part, found)
            selected |= {f"{part.name}/{name}" for name in (*found.files, *filter(None, [found.index]))}
        check_values(part, settings[part.name], tensors.get(part.name, {}))
    check_together(index, settings, tensors)
    paths = tuple(extras)
    _check_extras(files, paths, index, tensors)
    return CheckedModel(index, tuple(sorted({*selected, *paths})), weights, paths)


def _check_extras(
    files: Files, paths: tuple[str, ...], index: ModelIndex, tensors: Mapping[str, dict[str, tuple[int, ...]]]
) -> None:
    modules = Modules(tensors)
    for path in paths:
        if path.startswith("loras/"):
            check_lora(files, path, modules)
        elif path.startswith("embeddings/"):
            check_embedding(files, path, index.pipeline, tensors)
        else:
            check_control(files, path, index.pipeline, tensors)


def _check_pipeline(index: ModelIndex, pipeline: str | None) -> None:
    if pipeline not in (None, index.pipeline):
        message = f"{INDEX_FILE} names the pipeline {index.pipeline}, but the model's entry names {pipeline}"
        raise ModelFolderError(message, "Correct `pipeline` of the entry, or use another folder.")


def _read_index(files: Files) -> bytes:
    if INDEX_FILE not in files.sizes:
        raise ModelFolderError(f"{INDEX_FILE} is missing", "Use a folder that diffusers saved (save_pretrained).")
    return files.read(INDEX_FILE, 0, min(files.sizes[INDEX_FILE], INDEX_BYTES + 1))


def _names(files: Files, folder: str) -> set[str]:
    names = {path.removeprefix(f"{folder}/") for path in files.sizes if path.rpartition("/")[0] == folder}
    if not names:
        hint = "Use a complete copy of the model."
        raise ModelFolderError(f"{INDEX_FILE} names {folder}, but there is no such folder", hint)
    return names


def _check_variants(index: ModelIndex, names: Mapping[str, set[str]], wanted: Mapping[str, str | None]) -> None:
    """Refuse a variant that no part has: it would be replaced by another one without a word."""
    parts = [part for part in index.components if has_weights(part.class_name)]
    available = {part.name: variants_of(part, names[part.name]) for part in parts}
    for variant in {wanted[part.name] for part in parts} - {None, ""}:
        if not any(variant in available[part.name] for part in parts if wanted[part.name] == variant):
            others = ", ".join(sorted({name for found in available.values() for name in found} - {""})) or "none"
            hint = f"Correct `variant` in the entry's source. The model's variants: {others}."
            raise ModelFolderError(f"no part of the model has weights of the variant {variant!r}", hint)


def _is_setting(part: Component, name: str) -> bool:
    return _SETTINGS.fullmatch(name) is not None and not is_weights(name, weights_stem(part.library))


def _read_part(files: Files, part: Component, names: set[str]) -> dict[str, dict[str, Any]]:
    """Return the content of the JSON files of a part. Raises ModelFolderError: one is not safe to read."""
    paths = {name: f"{part.name}/{name}" for name in names if name.endswith(".json") and _is_setting(part, name)}
    return {name: read_settings(files, path) for name, path in paths.items()}


def _select_weights(files: Files, part: Component, names: set[str], variant: str | None) -> Weights:
    return select_weights(part, names, variant, lambda name: read_settings(files, f"{part.name}/{name}"))


def _read_tensors(files: Files, part: Component, found: Weights) -> dict[str, tuple[int, ...]]:
    """Return the tensors of a part with their shapes. Raises ModelFolderError: one is not where the index says."""
    tensors = dict[str, tuple[int, ...]]()
    for name in found.files:
        path = f"{part.name}/{name}"
        shapes = read_shapes(files, path)
        tensors |= shapes
        lacking = {tensor for tensor, file in (found.shards or {}).items() if file == name} - {*shapes}
        if lacking:
            message = f"{path} lacks {len(lacking)} tensors that {part.name}/{found.index} names: {min(lacking)[:80]}"
            raise ModelFolderError(message, "Use a complete copy of the model.")
    return tensors


def _check_path(path: str) -> None:
    """Raise ModelFolderError: a path could leave its folder, or SageMaker cannot write it."""
    parts = path.split("/")
    if (
        "\\" in path
        or printable(path) != path
        or any(part in ("", ".", "..") or len(part.encode()) > NAME_BYTES for part in parts)
    ):
        hint = (
            f"Each part of a path has 1 to {NAME_BYTES} bytes, no backslash and no control character, and is neither "
            "'.' nor '..'."
        )
        raise ModelFolderError(f"'{path[:120]}' is not a valid path of a release", hint)
