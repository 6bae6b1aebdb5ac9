"""Safetensors files made of byte ranges of a checkpoint."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .pieces import Piece

_CHUNK = 16 * 1024 * 1024
_TYPES = {2: "H", 4: "I"}

Read = Callable[[int, int], bytes]
"""Returns the bytes of the checkpoint from the first position up to, not including, the second."""


class WeightFile:
    """One weight file of the new folder. Its header, and so its size, is known before any weight is read."""

    def __init__(self, pieces: Iterable[Piece]) -> None:
        # Larger elements first, as safetensors does, so that each tensor is aligned.
        self.pieces = sorted(pieces, key=lambda piece: (-piece.source.element_bytes, piece.name))
        fields: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        end = 0
        for piece in self.pieces:
            first, end = end, end + piece.source.end - piece.source.first
            fields[piece.name] = {
                "dtype": piece.source.dtype,
                "shape": piece.shape,
                "data_offsets": [first, end],
            }
        text = json.dumps(fields, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        self.header = len(text).to_bytes(8, "little") + text
        self.size = len(self.header) + end

    def content(self, read: Read) -> Iterator[bytes]:
        """Yield the bytes of the file in order."""
        yield self.header
        for piece in self.pieces:
            source = piece.source
            if piece.transposed:
                yield _transpose(read(source.first, source.end), source.shape[1], source.element_bytes)
                continue
            for first in range(source.first, source.end, _CHUNK):
                yield read(first, min(first + _CHUNK, source.end))


def _transpose(data: bytes, width: int, element_bytes: int) -> bytes:
    values, result = array(_TYPES[element_bytes]), array(_TYPES[element_bytes])
    values.frombytes(data)
    for column in range(width):
        result.extend(values[column::width])
    return result.tobytes()
