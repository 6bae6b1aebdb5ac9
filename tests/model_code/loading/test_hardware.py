"""The choice of device and dtype."""

import json
import platform
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from contract import EaselError, render_profile
from loading import hardware
from loading.hardware import Hardware, choose_hardware, limit_threads
from loading.load import load_model
from tests.model_code.conftest import PROFILE

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


@pytest.mark.parametrize("weight_bytes", [LARGE, LARGE - 1])
@pytest.mark.parametrize(
    ("capability", "named", "dtype"),
    [
        ((7, 5), "float32", torch.float32),
        ((7, 5), "float16", torch.float16),
        ((8, 6), "float32", torch.float32),
        ((8, 6), "float16", torch.float16),
        ((8, 6), "bfloat16", torch.bfloat16),
    ],
)
@pytest.mark.parametrize("dtypes", [("float16",), ("bfloat16",), ("bfloat16", "float16")])
def test_a_gpu_uses_the_dtype_of_the_entry(
    machine: pytest.MonkeyPatch,
    weight_bytes: int,
    capability: tuple[int, int],
    named: str,
    dtype: torch.dtype,
    dtypes: tuple[str, ...],
) -> None:
    machine.setattr(torch.cuda, "is_available", lambda: True)
    machine.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert choose_hardware(weight_bytes, dtypes, named) == Hardware("cuda", dtype)


def test_a_gpu_without_the_dtype_of_the_entry_is_refused(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(torch.cuda, "is_available", lambda: True)
    machine.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    with pytest.raises(EaselError, match="bfloat16"):
        choose_hardware(LARGE, ("float16",), "bfloat16")


@pytest.mark.parametrize(
    ("named", "dtype"),
    [("float32", torch.float32), ("float16", torch.bfloat16), ("bfloat16", torch.bfloat16), (None, torch.bfloat16)],
)
def test_a_cpu_computes_in_float32_if_the_entry_says_so(
    machine: pytest.MonkeyPatch, named: str | None, dtype: torch.dtype
) -> None:
    machine.setattr(hardware, "_cpu_has_bfloat16", lambda: True)
    assert choose_hardware(LARGE, ("float16",), named) == Hardware("cpu", dtype)


def test_the_dtype_of_the_entry_is_the_dtype_of_the_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch, machine: pytest.MonkeyPatch
) -> None:
    """From the variable to the weights, on a CPU that prefers bfloat16."""
    machine.setattr(hardware, "_cpu_has_bfloat16", lambda: True)
    machine.setattr(hardware, "SMALL_MODEL_BYTES", 0)
    for named, dtype in (("float32", torch.float32), ("float16", torch.bfloat16)):
        profile = json.loads(render_profile(PROFILE)) | {"dtype": named}
        monkeypatch.setenv("EASEL_MODEL_PROFILE", json.dumps(profile))
        pipeline = load_model(folder).pipeline
        assert {pipeline.unet.dtype, pipeline.vae.dtype, pipeline.text_encoder.dtype} == {dtype}


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("device", "smaller_by", "threads"), [("cpu", 1, 1), ("cpu", 0, 2), ("cuda", 1, 2)])
def test_a_tiny_model_on_a_cpu_computes_with_one_thread(device: str, smaller_by: int, threads: int) -> None:
    limited = limit_threads(Hardware(device, torch.float32), hardware.ONE_THREAD_BYTES - smaller_by)
    assert (limited, torch.get_num_threads()) == (threads == 1, threads)


@pytest.mark.usefixtures("two_threads", "machine")
def test_the_load_of_a_tiny_model_limits_the_threads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EASEL_MODEL_PROFILE", render_profile(PROFILE))
    assert load_model(folder).one_thread
    assert torch.get_num_threads() == 1
