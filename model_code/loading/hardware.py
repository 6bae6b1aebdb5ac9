"""Where to draw and with which numbers, by what the machine does well and not by what it says it can."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from contract import refuse

SMALL_MODEL_BYTES = 256 * 2**20
"""Weights on disk. Below it float32 is used everywhere: it costs little, and a laptop and a GPU agree."""


@dataclass(frozen=True)
class Hardware:
    device: str
    """`cuda`, `mps` or `cpu`."""
    dtype: torch.dtype


def choose(weight_bytes: int, dtypes: Sequence[str]) -> Hardware:
    """`dtypes`: those that the model may draw in on a GPU, the best first.

    Raises EaselError `config_error`: the GPU computes in none of them.
    """
    device = _device()
    if weight_bytes < SMALL_MODEL_BYTES:
        return Hardware(device, torch.float32)
    if device == "cpu":
        return Hardware(device, torch.bfloat16 if _cpu_has_bfloat16() else torch.float32)
    usable = [name for name in dtypes if name == "float16" or device == "mps" or _gpu_has_bfloat16()]
    if not usable:
        told = f"the model draws in {dtypes[0]}, which this GPU does not compute in"
        refuse("config_error", None, told, "Use a GPU of compute capability 8.0 or newer (g5, g6, g6e).")
    return Hardware(device, getattr(torch, usable[0]))


def _device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _gpu_has_bfloat16() -> bool:
    """Not torch.cuda.is_bf16_supported(): it says yes on a T4 (7.5), where bfloat16 is emulated."""
    return torch.cuda.get_device_capability() >= (8, 0)


def _cpu_has_bfloat16() -> bool:
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    # On x86 oneDNN says yes from AVX512 on, but only AVX512_BF16 (and AMX above it) is faster than float32.
    return platform.machine() in ("aarch64", "arm64") or torch.cpu._is_avx512_bf16_supported()
