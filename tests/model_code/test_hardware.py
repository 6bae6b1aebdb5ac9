import platform

import pytest
import torch

import hardware

LARGE = hardware.SMALL_MODEL_BYTES


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    return monkeypatch


@pytest.mark.parametrize(
    ("capability", "dtype"),
    [((7, 0), torch.float16), ((7, 5), torch.float16), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)],
)
def test_bfloat16_only_where_the_gpu_has_it(
    machine: pytest.MonkeyPatch, capability: tuple[int, int], dtype: torch.dtype
) -> None:
    machine.setattr(torch.cuda, "is_available", lambda: True)
    machine.setattr(torch.cuda, "get_device_capability", lambda: capability)
    machine.setattr(torch.cuda, "is_bf16_supported", lambda: True)  # what a T4 says
    assert hardware.choose(LARGE) == hardware.Hardware("cuda", dtype)
    assert hardware.choose(LARGE - 1) == hardware.Hardware("cuda", torch.float32)


def test_apple(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(torch.backends.mps, "is_available", lambda: True)
    assert hardware.choose(LARGE) == hardware.Hardware("mps", torch.float16)


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
    assert hardware.choose(LARGE) == hardware.Hardware("cpu", dtype)
