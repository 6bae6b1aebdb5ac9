"""The header of a safetensors file."""

from __future__ import annotations

import json
from pathlib import Path

_HEADER_BYTES = 100_000_000
"""The longest header that the library `safetensors` reads."""


def is_complete(file: Path) -> bool:
    """Return whether the header is valid and its tensors fill the rest of the file."""
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(min(length, _HEADER_BYTES)))
        ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
        return bool(8 + length + max(ends, default=0) == file.stat().st_size)
    except (OSError, ValueError, RecursionError, AttributeError, KeyError, TypeError, IndexError):
        return False
