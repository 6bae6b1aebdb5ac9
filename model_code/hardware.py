"""Where to draw and with which numbers, by what the machine does well and not by what it says it can."""

import platform
from dataclasses import dataclass

import torch

SMALL_MODEL_BYTES = 256 * 2**20
"""Weights on disk. Below it float32 is used everywhere: it costs little, and a laptop and a GPU agree."""


@dataclass(frozen=True)
class Hardware:
    device: str
    """`cuda`, `mps` or `cpu`."""
    dtype: torch.dtype


def choose(weight_bytes: int) -> Hardware:
    device = _device()
    return Hardware(device, torch.float32 if weight_bytes < SMALL_MODEL_BYTES else _fast_dtype(device))


def _device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _fast_dtype(device: str) -> torch.dtype:
    if device == "cuda":
        # Not torch.cuda.is_bf16_supported(): it says yes on a T4 (7.5), where bfloat16 is emulated.
        return torch.bfloat16 if torch.cuda.get_device_capability() >= (8, 0) else torch.float16
    if device == "mps":
        return torch.float16
    return torch.bfloat16 if _cpu_has_bfloat16() else torch.float32


def _cpu_has_bfloat16() -> bool:
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    # On x86 oneDNN says yes from AVX512 on, but only AVX512_BF16 (and AMX above it) is faster than float32.
    return platform.machine() in ("aarch64", "arm64") or torch.cpu._is_avx512_bf16_supported()
