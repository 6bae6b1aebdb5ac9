"""The memory of this machine, measured: what the models use, and what they may use together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

LIBRARIES_BYTES = 400 * 10**6
"""Resident memory of a container without weights: Python, torch and diffusers."""
RESERVE_BYTES = 300 * 10**6
"""What the models leave to other programs."""
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""Files that exist where torch may find a GPU with memory of its own: CUDA, CUDA below Windows, ROCm."""


@dataclass(frozen=True)
class Memory:
    """Memory for all models together. `limit`: the most bytes that a user allows; None: what the machine has."""

    limit: int | None = None

    @property
    def most(self) -> int:
        """Bytes that models could use if nothing else ran."""
        total: int = psutil.virtual_memory().total
        return min(total, self.limit or total)

    def room(self, used: int) -> int:
        """Return the bytes that the models may use together at the moment, including the `used` bytes of those that
        run."""
        room: int = used + psutil.virtual_memory().available - RESERVE_BYTES
        return room if self.limit is None else min(room, self.limit)


def resident_bytes(pid: int | None) -> int:
    """Return the resident memory of a process; 0 if it has ended. Raises OSError."""
    try:
        used: int = psutil.Process(pid).memory_info().rss if pid else 0
    except psutil.Error:
        return 0
    return used


def has_gpu_memory() -> bool:
    """Return whether the weights may be in a GPU's own memory, which is not measured here."""
    return any(Path(device).exists() for device in _GPU_DEVICES)
