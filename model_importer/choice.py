"""Which files of a repository belong to one variant of a diffusers pipeline."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from .classes import COMPONENTS, PIPELINES
from .failure import ImportFailed

INDEX = "model_index.json"
NAME_BYTES = 255
"""The longest name that SageMaker takes in uncompressed model data."""
UNSAID = "fp16"
"""The variant of a folder of which nobody says which to take: whoever put it there put what is to be used."""
STEMS = ("diffusion_pytorch_model", "model")
_SHARD = re.compile(r"-\d{5}-of-\d{5}")
_SMALL = re.compile(r"(?!model_index).*\.(json|jinja|model)|merges\.txt|vocab\.txt")
"""Settings and tokenizers."""
_WITHOUT_WEIGHTS = re.compile(r"Scheduler|Tokenizer|Processor|FeatureExtractor")

Read = Callable[[str], bytes]


def choose(names: Iterable[str], index: Mapping[str, Any], variants: Mapping[str, str], read: Read) -> list[str]:
    """The paths to take of `names`, sorted: those of the parts that `index` names, and of nothing else.

    `variants` has `fp16` or such for a part; one that has no such files gives its plain weights, as diffusers does.
    `read` gives the content of a small file. Raises ImportFailed.
    """
    there = [safe(name) for name in names]
    chosen = {INDEX}
    for part, class_name in components(index):
        inside = {name.removeprefix(f"{part}/") for name in there if name.rpartition("/")[0] == part}
        small = {name for name in inside if _SMALL.fullmatch(name) and not _is_weights(name)}
        variant = variants.get(part, "")
        weights = _weights(part, inside, variant, read)
        if not weights and not _WITHOUT_WEIGHTS.search(class_name):
            raise ImportFailed(_no_weights(part, inside, variant))
        if not small | weights:
            raise ImportFailed(f"{INDEX} names {part}, and there is no such folder. The repository is not complete.")
        chosen |= {f"{part}/{name}" for name in small | weights}
    return sorted(chosen)


def components(index: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The parts of a pipeline and their classes, all known ones. Raises ImportFailed."""
    pipeline = index.get("_class_name")
    if pipeline not in PIPELINES:
        raise ImportFailed(f"The pipeline is a {str(pipeline)[:80]!r}. Known are {', '.join(PIPELINES)}.")
    for part, named in index.items():
        if part.startswith("_") or not isinstance(named, list) or named == [None, None]:
            continue
        library, class_name = named if len(named) == 2 else ("", "")
        if not re.fullmatch(r"\w+", part, re.ASCII) or class_name not in COMPONENTS.get(str(library), ()):
            told = f"{str(library)[:80]}.{str(class_name)[:80]} as {part[:80]}"
            raise ImportFailed(f"{INDEX} asks for {told}. Only known classes of diffusers and transformers are loaded.")
        yield part, str(class_name)


def read_object(path: str, content: bytes) -> dict[str, Any]:
    """A JSON file as it may stand in a release. Raises ImportFailed: it is none, as a symbolic link of git is, or asks
    for code of its own."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ImportFailed(f"{path} is no JSON object.")
    if "auto_map" in value:
        raise ImportFailed(f"{path} asks for code of its own (auto_map). Only models that need none are loaded.")
    return value


def safe(path: str) -> str:
    """Raises ImportFailed for a path that could leave its folder or that SageMaker cannot lay down."""
    parts = path.split("/")
    if "\\" in path or any(part in ("", ".", "..") or len(part.encode()) > NAME_BYTES for part in parts):
        raise ImportFailed(f"{path[:120]!r} is no path that can be in a release.")
    return path


def _weights(part: str, inside: set[str], variant: str, read: Read) -> set[str]:
    for wanted in dict.fromkeys((variant, "")):
        found = {name for name in inside if _is_weights(name) and _variant(name) == wanted}
        indexes = {name for name in found if name.endswith(".json")}
        if indexes:
            shards = {shard for name in indexes for shard in _shards(f"{part}/{name}", read)}
            if missing := shards - inside:
                raise ImportFailed(f"{part} is not complete: {', '.join(sorted(missing))[:300]} is missing.")
            return indexes | shards
        if found:
            return found
    return set()


def _shards(path: str, read: Read) -> set[str]:
    told = read_object(path, read(path)).get("weight_map")
    shards = set(told.values()) if isinstance(told, dict) else set()
    if not shards or not all(isinstance(shard, str) and _is_weights(shard) for shard in shards):
        raise ImportFailed(f"{path} does not say which safetensors files there are.")
    return shards


def _is_weights(name: str) -> bool:
    stem, *rest = _SHARD.sub("", name).split(".")
    return stem in STEMS and "safetensors" in rest and rest[-1] in ("safetensors", "json")


def _variant(name: str) -> str:
    """`model-00001-of-00002.fp16.safetensors`, `model.fp16-00001-of-00002.safetensors`: both are fp16."""
    return ".".join(
        word for word in _SHARD.sub("", name).split(".")[1:] if word not in ("safetensors", "index", "json")
    )


def _no_weights(part: str, inside: set[str], variant: str) -> str:
    pickled = sorted(name for name in inside if name.endswith((".bin", ".ckpt", ".pt", ".pth")))
    told = f"{part} has no safetensors" + (f" of the variant {variant!r}, nor plain ones" if variant else "")
    others = sorted({_variant(name) for name in inside if _is_weights(name)} - {""})
    if others:
        return f"{told}. Variants that it has: {', '.join(others)}."
    if pickled:
        return (
            f"{told}, only {', '.join(pickled)[:200]}. Pickled weights can run code when they are read: none is taken."
        )
    return f"{told}."
