"""The header of a safetensors file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .errors import ModelFolderError
from .files import Files
from .json_files import parse_json

HEADER_BYTES = 16 * 1024 * 1024
"""The longest header that is read. Those of known models have less than 1 MiB."""
_FIRST_BYTES = 64 * 1024
"""One read has most headers."""
_SIDES, _END = 10, 2**48
"""Most numbers in a shape, and the number below which sides and positions are: 256 TiB."""
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32,
    "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """One tensor: its dtype as safetensors names it, its shape, and where its bytes are in the file."""

    dtype: str
    shape: tuple[int, ...]
    first: int
    end: int

    @property
    def element_bytes(self) -> int:
        return _BITS[self.dtype] // 8


@dataclass(frozen=True)
class Header:
    """The header of a file: its tensors by name, and the texts that its author wrote."""

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tensor.shape for name, tensor in self.tensors.items()}


def read_shapes(files: Files, path: str) -> dict[str, tuple[int, ...]]:
    """Return the tensors with their shapes. Raises ModelFolderError unless they fill the file exactly."""
    return read_header(files, path).shapes


def read_header(files: Files, path: str) -> Header:
    """Return the header. Raises ModelFolderError unless the tensors fill the file exactly."""
    size = files.sizes[path]
    beginning = files.read(path, 0, min(size, _FIRST_BYTES))
    length = int.from_bytes(beginning[:8], "little")
    if 8 + length > size:
        raise _damaged(path)
    if length > HEADER_BYTES:
        raise ModelFolderError(f"{path} has a header of {length} bytes", f"It may have {HEADER_BYTES} bytes.")
    if 8 + length > len(beginning):
        beginning += files.read(path, len(beginning), 8 + length)
    header = parse_json(beginning[8 : 8 + length])
    if not isinstance(header, dict):
        raise _damaged(path)
    fields = {name: value for name, value in header.items() if name != "__metadata__"}
    try:
        end = 0
        for first, next_first in sorted(map(_extent, fields.values())):
            if first != end:
                raise _damaged(path)
            end = next_first
    except (AttributeError, KeyError, TypeError, ValueError):
        raise _damaged(path) from None
    if not fields or 8 + length + end != size:
        raise _damaged(path)
    tensors = {name: _tensor(value, 8 + length) for name, value in fields.items()}
    return Header(tensors, _texts(header.get("__metadata__")))


def _tensor(fields: dict[str, Any], start: int) -> Tensor:
    first, end = fields["data_offsets"]
    return Tensor(fields["dtype"], tuple(fields["shape"]), start + first, start + end)


def _texts(metadata: Any) -> dict[str, str]:
    texts = metadata if isinstance(metadata, dict) else {}
    return {name: text for name, text in texts.items() if isinstance(text, str)}


def _extent(tensor: dict[str, Any]) -> tuple[int, int]:
    """Return where the tensor begins and ends. Raises ValueError unless its shape and dtype fill that."""
    (first, end), shape = tensor["data_offsets"], tensor["shape"]
    if len(shape) > _SIDES or any(type(number) is not int or not 0 <= number < _END for number in (*shape, first, end)):
        raise ValueError
    if 8 * (end - first) != math.prod(shape) * _BITS[tensor["dtype"]] or end < first:
        raise ValueError
    return first, end


def _damaged(path: str) -> ModelFolderError:
    return ModelFolderError(f"{path} is damaged or truncated", "Download it again; a Git LFS pointer is not enough.")
