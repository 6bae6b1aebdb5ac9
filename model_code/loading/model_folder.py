"""What a model folder may hold, checked before anything in it is believed; `easel doctor` asks without torch.

What the checks are against: a `model_index.json` that names a library or class of the author's choosing
(GHSA-4prv-5hj7-c2xr), pickled weights (CVE-2025-32434) and code beside the weights (CVE-2026-44513).
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from contract import refuse
from generation import vocabulary
from loading.classes import COMPONENTS, PIPELINES

_CODE = "code"
"""The only place for programs in a release."""
_UNSAFE = {
    ".bin",
    ".ckpt",
    ".h5",
    ".joblib",
    ".msgpack",
    ".npy",
    ".npz",
    ".pickle",
    ".pkl",
    ".pt",
    ".pth",
    ".py",
    ".so",
}
_INDEX_BYTES = 100_000
_HEADER_BYTES = 100_000_000
"""The longest header that the library `safetensors` reads."""


def check(folder: Path, names: Iterable[str] | None = None) -> str:
    """The class of the pipeline in a folder that may be loaded, of all its files or of a release of `names`.

    Raises EaselError `config_error`.
    """
    index = _json(folder / "model_index.json")
    name = index.get("_class_name")
    if str(name) not in PIPELINES:
        _refuse(f"model_index.json asks for the pipeline {str(name)[:80]!r}", f"Use one of: {', '.join(PIPELINES)}.")
    for part, named in index.items():
        if not part.startswith("_") and isinstance(named, list):
            _check_component(part, named)
    for file in _files(folder) if names is None else (folder / name for name in names):
        _check_file(folder, file)
    vocabulary.read(folder)
    return str(name)


def _check_component(part: str, named: list[Any]) -> None:
    library, class_name = named if len(named) == 2 else ("", "")
    if library is class_name is None:
        return
    if str(class_name) not in COMPONENTS.get(str(library), ()):
        told = f"{str(library)[:80]}.{str(class_name)[:80]}"
        _refuse(f"model_index.json asks for {told} as {part[:80]}", "Only known classes of diffusers and transformers.")


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.relative_to(folder).parts[0] != _CODE)


def _check_file(folder: Path, file: Path) -> None:
    name = file.relative_to(folder)
    if not file.resolve().is_relative_to(folder.resolve()):
        _refuse(f"{name} leads out of the folder", "Put the file itself there.")
    if file.suffix.lower() in _UNSAFE:
        _refuse(f"{name} is not safe to read", "Keep weights as .safetensors and no code beside them.")
    if file.name in ("config.json", "tokenizer_config.json") and "auto_map" in _json(file):
        _refuse(f"{name} asks for code of its own (auto_map)", "Use a model that needs none.")
    if file.suffix == ".safetensors" and not _whole(file):
        _refuse(f"{name} is damaged or cut off", "Fetch it anew; a pointer of Git LFS is no weights.")


def _whole(file: Path) -> bool:
    """Whether the header of safetensors is there and the tensors that it tells of fill the rest of the file."""
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(min(length, _HEADER_BYTES)))
        ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
        return bool(8 + length + max(ends, default=0) == file.stat().st_size)
    except (OSError, ValueError, RecursionError, AttributeError, KeyError, TypeError, IndexError):
        return False


def _json(file: Path) -> dict[str, Any]:
    try:
        if file.name == "model_index.json" and file.stat().st_size > _INDEX_BYTES:
            _refuse(f"{file.name} is too large", f"At most {_INDEX_BYTES} bytes.")
        value = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        _refuse(f"{file.name} is missing or no JSON object", "Point at a folder that diffusers saved.")
    return dict(value)


def _refuse(message: str, hint: str) -> None:
    refuse("config_error", None, message, hint)
