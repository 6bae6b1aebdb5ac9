"""The choice of device and dtype."""

import platform

import pytest
import torch

from contract import EaselError
from loading import hardware
from loading.hardware import Hardware, choose_hardware

LARGE = hardware.SMALL_MODEL_BYTES


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine without a GPU. Tests add what they need."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    return monkeypatch


@pytest.mark.parametrize(
    ("capability", "dtypes", "dtype"),
    [
        ((7, 5), ("float16",), torch.float16),
        ((9, 0), ("float16",), torch.float16),
        ((7, 5), ("bfloat16", "float16"), torch.float16),
        ((8, 0), ("bfloat16", "float16"), torch.bfloat16),
        ((8, 0), ("bfloat16",), torch.bfloat16),
    ],
)
def test_cuda_uses_the_best_dtype_that_the_gpu_supports(
    machine: pytest.MonkeyPatch, capability: tuple[int, int], dtypes: tuple[str, ...], dtype: torch.dtype
) -> None:
    machine.setattr(torch.cuda, "is_available", lambda: True)
    machine.setattr(torch.cuda, "get_device_capability", lambda: capability)
    machine.setattr(torch.cuda, "is_bf16_supported", lambda: True)  # as on a T4
    assert choose_hardware(LARGE, dtypes) == Hardware("cuda", dtype)
    assert choose_hardware(LARGE - 1, dtypes) == Hardware("cuda", torch.float32)


def test_a_gpu_that_supports_no_dtype_of_the_model_is_refused(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(torch.cuda, "is_available", lambda: True)
    machine.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    with pytest.raises(EaselError, match="bfloat16") as caught:
        choose_hardware(LARGE, ("bfloat16",))
    assert caught.value.code == "config_error"


@pytest.mark.parametrize(
    ("dtypes", "dtype"), [(("float16",), torch.float16), (("bfloat16", "float16"), torch.bfloat16)]
)
def test_apple(machine: pytest.MonkeyPatch, dtypes: tuple[str, ...], dtype: torch.dtype) -> None:
    machine.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_hardware(LARGE, dtypes) == Hardware("mps", dtype)


@pytest.mark.parametrize(
    ("onednn", "avx512_bf16", "architecture", "dtype"),
    [
        (True, True, "x86_64", torch.bfloat16),
        (True, False, "x86_64", torch.float32),  # AVX512 without BF16: emulated
        (True, False, "aarch64", torch.bfloat16),
        (False, True, "x86_64", torch.float32),
    ],
)
def test_cpu(
    machine: pytest.MonkeyPatch, onednn: bool, avx512_bf16: bool, architecture: str, dtype: torch.dtype
) -> None:
    machine.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: onednn)
    machine.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    machine.setattr(platform, "machine", lambda: architecture)
    assert choose_hardware(LARGE, ("float16",)) == Hardware("cpu", dtype)
