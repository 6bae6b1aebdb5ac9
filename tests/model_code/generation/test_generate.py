"""Generation: seeds and batches, sizes, deadlines, and failures of the GPU."""

import gc
import json
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from contract import EaselError, GenerationRequest, render_profile
from generation import generate, gpu_memory
from loading import load
from tests.model_code import fakes, tiny
from tests.model_code.conftest import PROFILE

FakeModel = Callable[..., Any]
MODEL_CODE = Path(__file__).parents[3] / "model_code"


def run(model: Any, expires_at: float | None = None, **changes: Any) -> Any:
    """Generate two small images."""
    fields: dict[str, Any] = {
        "prompt": ("a", "b"),
        "width": 64,
        "height": 64,
        "num_inference_steps": 3,
        "guidance_scale": 4.0,
        "seed": 7,
        "scheduler": "ddim",
    }
    return generate.generate(model, GenerationRequest(**fields | changes), expires_at)


def error_of(model: Any, expires_at: float | None = None, **changes: Any) -> EaselError:
    with pytest.raises(EaselError) as caught:
        run(model, expires_at, **changes)
    return caught.value


# --- seeds and batches ---------------------------------------------------------------------------


def test_image_i_is_the_image_of_its_own_seed(model: Any) -> None:
    model.batch_size = 1
    several = run(model, prompt=("a", "b"), num_images_per_prompt=2).images
    singles = [run(model, prompt=(p,), seed=s).images[0] for p, s in [("a", 7), ("a", 8), ("b", 9), ("b", 10)]]
    assert all(np.array_equal(image, single) for image, single in zip(several, singles, strict=True))
    assert len({image.tobytes() for image in several}) == 4


def test_the_seed_after_the_largest_is_zero(model: Any) -> None:
    second = run(model, prompt=("a",), num_images_per_prompt=2, seed=2**32 - 1).images[1]
    assert np.array_equal(second, run(model, prompt=("a",), seed=0).images[0])


@pytest.mark.parametrize("scheduler", ["ddim", "euler_a"])
def test_a_batch_gives_the_same_images_as_single_runs(model: Any, scheduler: str) -> None:
    """Up to rounding: kernels differ by the size of the batch."""
    settings: dict[str, Any] = {"num_images_per_prompt": 2, "scheduler": scheduler, "negative_prompt": "c"}
    model.batch_size = 1
    singles = run(model, **settings).images
    model.batch_size = 3
    batched = run(model, **settings).images
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(singles, batched, strict=True)) <= 1


def test_the_same_request_gives_the_same_pixels(model: Any) -> None:
    assert np.array_equal(run(model).images, run(model).images)


# --- pipeline families ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "scheduler", "warnings"),
    [
        (tiny.stable_diffusion_xl, "euler", 0),
        (tiny.stable_diffusion_xl_lcm, "lcm", 1),  # takes no negative prompt
        (tiny.flux_2_klein, "flow_euler", 1),  # takes no negative prompt
        (tiny.z_image, "flow_euler", 0),
        (tiny.flux, "flow_euler", 1),  # takes no negative prompt
    ],
)
def test_every_family_generates_the_requested_size(
    family: Callable[[], Any], scheduler: str, warnings: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """72 is not a multiple of 16: the image is generated larger and cropped."""
    profile = replace(PROFILE, scheduler=scheduler, schedulers=(scheduler,))
    monkeypatch.setenv("EASEL_MODEL_PROFILE", render_profile(profile))
    model = load.load_model(tiny.save(family(), tmp_path / "model"))
    steps: list[tuple[int, int]] = []
    model.on_step = lambda step, total: steps.append((step, total))
    generation = run(model, width=72, negative_prompt="c", scheduler=scheduler)
    assert [image.shape for image in generation.images] == [(64, 72, 3)] * 2
    assert len(generation.warnings) == warnings
    assert steps == [(1, 6), (2, 6), (3, 6), (4, 6), (5, 6), (6, 6)]


def test_a_guidance_scale_that_is_ignored_is_warned_about_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = replace(PROFILE, scheduler="flow_euler", schedulers=("flow_euler",))
    monkeypatch.setenv("EASEL_MODEL_PROFILE", render_profile(profile))
    model = load.load_model(tiny.save(tiny.flux_2_klein(), tmp_path / "model"))
    generation = run(model, scheduler="flow_euler", guidance_scale=5.0, num_inference_steps=1)
    assert generation.warnings == ("This model takes no guidance_scale; it was ignored.",)


# --- steps and deadlines -------------------------------------------------------------------------


def test_steps_are_counted_over_all_images(fake_model: FakeModel) -> None:
    model = fake_model(fakes.grey)
    model.batch_size = 2
    steps: list[tuple[int, int]] = []
    model.on_step = lambda step, total: steps.append((step, total))
    run(model, num_images_per_prompt=2, num_inference_steps=2)
    assert steps == [(2, 8), (4, 8), (6, 8), (8, 8)]


def test_a_second_order_scheduler_counts_its_own_steps(model: Any) -> None:
    steps: list[tuple[int, int]] = []
    model.on_step = lambda step, total: steps.append((step, total))
    run(model, prompt=("a",), scheduler="heun")
    assert steps[-1][0] == steps[-1][1] == len(steps)


def test_no_step_runs_after_the_deadline(fake_model: FakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    model, steps = fake_model(fakes.grey), list[int]()
    model.on_step = lambda step, total: steps.append(step)
    monkeypatch.setattr(time, "monotonic", lambda: float(len(steps)))
    error = error_of(model, 3.5, num_inference_steps=50, prompt=("a",), deadline_ms=1000)
    assert (error.code, error.param) == ("deadline_exceeded", "deadline_ms")
    assert steps == [1, 2, 3, 4]


def test_a_cancelled_request_ends_within_one_step_and_frees_the_model(fake_model: FakeModel) -> None:
    model, steps = fake_model(fakes.grey), list[int]()
    model.on_step = lambda step, total: steps.append(step)
    model.is_cancelled = lambda: len(steps) >= 3
    assert error_of(model, None, num_inference_steps=50, prompt=("a",)).code == "cancelled"
    assert steps == [1, 2, 3]
    model.is_cancelled = lambda: False
    assert len(run(model).images) == 2


def test_a_deadline_that_passed_in_the_queue_costs_no_step(fake_model: FakeModel) -> None:
    model = fake_model(fakes.grey)
    model.on_step = lambda step, total: pytest.fail("ran a step")
    assert error_of(model, time.monotonic() - 1).code == "deadline_exceeded"


# --- unusable outputs ----------------------------------------------------------------------------


def last_image_is(value: float) -> fakes.Render:
    def render(images: int, width: int, height: int) -> torch.Tensor:
        output = fakes.grey(images, width, height)
        output[-1] = value
        return output

    return render


def test_a_single_nan_is_an_error(fake_model: FakeModel) -> None:
    def render(images: int, width: int, height: int) -> torch.Tensor:
        output = fakes.grey(images, width, height)
        output[1, 2, 3, 4] = torch.nan
        return output

    assert error_of(fake_model(render)).code == "nan_output"


def test_a_single_black_image_is_an_error(fake_model: FakeModel) -> None:
    assert error_of(fake_model(last_image_is(0.0))).code == "blank_output"
    assert len(run(fake_model(last_image_is(1.0))).images) == 2


def test_an_image_blocked_by_the_safety_checker_is_an_error(fake_model: FakeModel) -> None:
    def render(images: int, width: int, height: int) -> Any:
        output = last_image_is(0.0)(images, width, height)
        return SimpleNamespace(images=output, nsfw_content_detected=[False, True])

    assert error_of(fake_model(render)).code == "content_filtered"


def test_pixels_are_rounded_as_in_diffusers(fake_model: FakeModel) -> None:
    value = 100.6 / 255
    image = run(fake_model(lambda n, width, height: torch.full((n, 3, height, width), value))).images[0]
    assert (image == 101).all()


# --- sizes ---------------------------------------------------------------------------------------


def test_a_model_that_upscales_generates_its_own_size_and_warns(fake_model: FakeModel) -> None:
    sizes: list[tuple[int, int]] = []

    def render(images: int, width: int, height: int) -> torch.Tensor:
        sizes.append((width, height))
        return fakes.grey(images, width, height)

    model = fake_model(render, upscales=True)
    same, larger, tall = run(model), run(model, width=128, height=128), run(model, width=128, height=256)
    assert sizes == [(64, 64)] * 3
    assert tall.images[0].shape == (256, 128, 3)
    assert same.warnings == ()
    (scaled,), (extended,) = larger.warnings, tall.warnings
    assert scaled == "Tiny generates 64x64; the image was scaled to 128x128."
    assert "64x64" in extended and "128x256" in extended and "edges" in extended


# --- out of memory -------------------------------------------------------------------------------


class LimitedMemory:
    """Runs out of memory above `room` images, with a tensor in its frame, like the forward pass of a UNet."""

    def __init__(self, room: int) -> None:
        self.room, self.batches, self.tensors = room, list[int](), list[weakref.ref[torch.Tensor]]()

    def __call__(self, images: int, width: int, height: int) -> torch.Tensor:
        gc.disable()  # the code under test must free the memory itself
        assert not any(tensor() is not None for tensor in self.tensors), "an earlier attempt still holds its memory"
        self.batches.append(images)
        activations = torch.ones(images)
        self.tensors.append(weakref.ref(activations))
        if images > self.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return fakes.grey(images, width, height)


@pytest.fixture(autouse=True)
def enabled_gc() -> Any:
    yield
    gc.enable()


def test_out_of_memory_halves_the_batch_until_it_fits(fake_model: FakeModel) -> None:
    limited = LimitedMemory(room=2)
    assert len(run(fake_model(limited), num_images_per_prompt=4).images) == 8
    assert limited.batches == [8, 4, 2, 2, 2, 2]


def test_an_image_that_does_not_fit_is_an_error_and_the_model_stays_healthy(fake_model: FakeModel) -> None:
    limited = LimitedMemory(room=0)
    model = fake_model(limited)
    error = error_of(model)
    assert (error.code, limited.batches) == ("gpu_out_of_memory", [2, 1])
    assert model.healthy
    assert all(tensor() is None for tensor in limited.tensors)


@pytest.mark.slow
def test_memory_that_is_not_freed_twice_in_a_row_ends_the_process(
    fake_model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_memory, "GRACE_SECONDS", 0)
    limited, ended = LimitedMemory(room=1), list[bool]()
    model = fake_model(limited)
    allocated = iter([100, 106, 100, 106, 106])
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: next(allocated))
    model.memory = gpu_memory.GpuMemory(lambda: ended.append(True))
    run(model)  # 106: too much, for the first time
    run(model)  # 100: freed
    run(model)  # 106: the first time again
    assert model.healthy and not ended
    assert error_of(model).code == "gpu_out_of_memory"
    wait_until(lambda: bool(ended))
    assert not model.healthy


def test_a_lost_gpu_context_ends_the_process(fake_model: FakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_memory, "GRACE_SECONDS", 0)

    def render(images: int, width: int, height: int) -> torch.Tensor:
        raise RuntimeError("CUDA error: device-side assert triggered")

    model, ended = fake_model(render), list[bool]()
    model.memory = gpu_memory.GpuMemory(lambda: ended.append(True))
    assert error_of(model).code == "container_died"
    assert not model.healthy
    wait_until(lambda: bool(ended))


@pytest.mark.slow
def test_a_process_that_gave_up_ends_after_its_response() -> None:
    program = (
        "import time\n"
        "from generation import gpu_memory\n"
        "gpu_memory.GRACE_SECONDS = 1\n"
        "gpu_memory.GpuMemory().give_up()\n"
        "print('responded', flush=True)\n"
        "time.sleep(60)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=MODEL_CODE)
    assert ended.returncode == gpu_memory.EXIT_STATUS
    assert ended.stdout.splitlines()[-1] == "responded"


@pytest.mark.parametrize(
    ("message", "out_of_memory", "context_lost"),
    [
        ("CUDA out of memory. Tried to allocate 20.00 MiB.", True, False),
        ("CUDA error: out of memory", True, False),
        ("MPS backend out of memory (MPS allocated: 5 GB)", True, False),
        ("CUDA error: an illegal memory access was encountered", False, True),
        ("mat1 and mat2 shapes cannot be multiplied", False, False),
    ],
)
def test_gpu_errors_are_classified(message: str, out_of_memory: bool, context_lost: bool) -> None:
    error = RuntimeError(message)
    assert (gpu_memory.is_out_of_memory(error), gpu_memory.is_context_lost(error)) == (out_of_memory, context_lost)


def test_other_exceptions_pass_through(fake_model: FakeModel) -> None:
    def render(images: int, width: int, height: int) -> torch.Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        run(fake_model(render))


def test_a_recovery_is_logged_as_json(fake_model: FakeModel, capsys: pytest.CaptureFixture[str]) -> None:
    run(fake_model(LimitedMemory(room=1)))
    assert [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()] == ["gpu_out_of_memory"]


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.01)
