"""The device and the dtype for a model."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from contract import refuse

SMALL_MODEL_BYTES = 256 * 2**20
"""Weights on disk. Smaller models always use float32: it costs little, and a laptop and a GPU give the same images."""

ONE_THREAD_BYTES = 64 * 2**20
"""Weights on disk. The operations of smaller models are so short that threads wait for each other longer than they
compute."""


@dataclass(frozen=True)
class Hardware:
    """The chosen device, `cuda`, `mps` or `cpu`, and dtype."""

    device: str
    dtype: torch.dtype


def choose_hardware(weight_bytes: int, dtypes: Sequence[str], named: str | None = None) -> Hardware:
    """Return the best device and dtype. `dtypes` are those that the model supports on a GPU, the best first.

    `named` is the dtype of the model's entry, which a GPU then uses. A CPU uses bfloat16 instead of float16, or float32
    where that is faster. Raises EaselError `config_error`: the GPU supports none of them.
    """
    device = _device()
    if named == "float32" or ((named is None or device == "cpu") and weight_bytes < SMALL_MODEL_BYTES):
        return Hardware(device, torch.float32)
    if device == "cpu":
        return Hardware(device, torch.bfloat16 if _cpu_has_bfloat16() else torch.float32)
    wanted = dtypes if named is None else [named]
    usable = [name for name in wanted if name == "float16" or device == "mps" or _gpu_has_bfloat16()]
    if not usable:
        message = f"the model needs {wanted[0]}, which this GPU does not support"
        refuse("config_error", None, message, "Use a GPU of compute capability 8.0 or newer (g5, g6, g6e).")
    return Hardware(device, getattr(torch, usable[0]))


def limit_threads(hardware: Hardware, weight_bytes: int) -> bool:
    """Let this process compute with one thread if its model is tiny and on a CPU. Return whether it is."""
    one_thread = hardware.device == "cpu" and weight_bytes < ONE_THREAD_BYTES
    if one_thread:
        torch.set_num_threads(1)
    return one_thread


def _device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _gpu_has_bfloat16() -> bool:
    """Check the capability: torch.cuda.is_bf16_supported() is true on a T4 (7.5), which only emulates bfloat16."""
    return torch.cuda.get_device_capability() >= (8, 0)


def _cpu_has_bfloat16() -> bool:
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    # On x86, oneDNN says yes from AVX512 on, but only AVX512_BF16 (and AMX above it) is faster than float32.
    return platform.machine() in ("aarch64", "arm64") or torch.cpu._is_avx512_bf16_supported()
