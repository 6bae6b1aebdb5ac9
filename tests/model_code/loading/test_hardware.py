import platform

import pytest
import torch

from contract import EaselError
from loading import hardware

LARGE = hardware.SMALL_MODEL_BYTES


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
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
def test_the_best_that_the_gpu_computes_in(
    machine: pytest.MonkeyPatch, capability: tuple[int, int], dtypes: tuple[str, ...], dtype: torch.dtype
) -> None:
    machine.setattr(torch.cuda, "is_available", lambda: True)
    machine.setattr(torch.cuda, "get_device_capability", lambda: capability)
    machine.setattr(torch.cuda, "is_bf16_supported", lambda: True)  # what a T4 says
    assert hardware.choose(LARGE, dtypes) == hardware.Hardware("cuda", dtype)
    assert hardware.choose(LARGE - 1, dtypes) == hardware.Hardware("cuda", torch.float32)


def test_a_gpu_that_cannot_is_told(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(torch.cuda, "is_available", lambda: True)
    machine.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    with pytest.raises(EaselError) as refusal:
        hardware.choose(LARGE, ("bfloat16",))
    assert refusal.value.code == "config_error"
    assert refusal.value.message == "the model draws in bfloat16, which this GPU does not compute in"


@pytest.mark.parametrize(
    ("dtypes", "dtype"), [(("float16",), torch.float16), (("bfloat16", "float16"), torch.bfloat16)]
)
def test_apple(machine: pytest.MonkeyPatch, dtypes: tuple[str, ...], dtype: torch.dtype) -> None:
    machine.setattr(torch.backends.mps, "is_available", lambda: True)
    assert hardware.choose(LARGE, dtypes) == hardware.Hardware("mps", dtype)


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
    assert hardware.choose(LARGE, ("float16",)) == hardware.Hardware("cpu", dtype)
