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
from generation import generate as drawing
from generation import gpu_memory
from tests.model_code import fakes, tiny
from tests.model_code.conftest import PROFILE

Fake = Callable[..., Any]
MODEL_CODE = Path(__file__).parents[3] / "model_code"


def request(**changes: Any) -> GenerationRequest:
    fields: dict[str, Any] = {
        "prompt": ("a", "b"),
        "width": 64,
        "height": 64,
        "num_inference_steps": 3,
        "guidance_scale": 4.0,
        "seed": 7,
        "scheduler": "ddim",
    }
    return GenerationRequest(**fields | changes)


def draw(model: Any, expires: float | None = None, **changes: Any) -> Any:
    return drawing.draw(model, request(**changes), expires)


def failing(model: Any, expires: float | None = None, **changes: Any) -> EaselError:
    with pytest.raises(EaselError) as caught:
        draw(model, expires, **changes)
    return caught.value


# --- seeds and batches ---------------------------------------------------------------------------


def test_picture_i_is_the_picture_of_its_own_seed(model: Any) -> None:
    model.at_once = 1
    several = draw(model, prompt=("a", "b"), num_images_per_prompt=2).pictures
    alone = [draw(model, prompt=(p,), seed=s).pictures[0] for p, s in [("a", 7), ("a", 8), ("b", 9), ("b", 10)]]
    assert all(np.array_equal(one, other) for one, other in zip(several, alone, strict=True))
    assert len({picture.tobytes() for picture in several}) == 4


def test_the_last_seed_is_followed_by_zero(model: Any) -> None:
    wrapped = draw(model, prompt=("a",), num_images_per_prompt=2, seed=2**32 - 1).pictures[1]
    assert np.array_equal(wrapped, draw(model, prompt=("a",), seed=0).pictures[0])


@pytest.mark.parametrize("scheduler", ["ddim", "euler_a"])
def test_a_batch_draws_what_one_by_one_draws(model: Any, scheduler: str) -> None:
    """To rounding: kernels differ by the size of the batch."""
    settings: dict[str, Any] = {"num_images_per_prompt": 2, "scheduler": scheduler, "negative_prompt": "c"}
    model.at_once = 1
    alone = draw(model, **settings).pictures
    model.at_once = 3
    together = draw(model, **settings).pictures
    assert max(np.abs(one.astype(int) - other).max() for one, other in zip(alone, together, strict=True)) <= 1


def test_the_same_request_gives_the_same_pixels(model: Any) -> None:
    assert np.array_equal(draw(model).pictures, draw(model).pictures)


# --- every family --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "scheduler", "warnings"),
    [
        (tiny.stable_diffusion_xl, "euler", 0),
        (tiny.stable_diffusion_xl_lcm, "lcm", 0),
        (tiny.flux_2_klein, "flow_euler", 1),  # takes no negative prompt
        (tiny.z_image, "flow_euler", 0),
        (tiny.flux, "flow_euler", 1),  # nor does this
    ],
)
def test_a_family_draws_the_size_asked_for(
    family: Callable[[], Any], scheduler: str, warnings: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """72 is no multiple of 16: it is drawn larger and cropped."""
    from loading import load as loading

    profile = replace(PROFILE, scheduler=scheduler, schedulers=(scheduler,))
    monkeypatch.setenv("EASEL_MODEL_PROFILE", render_profile(profile))
    model = loading.load(tiny.saved(family(), tmp_path / "model"))
    steps: list[tuple[int, int]] = []
    model.on_step = lambda step, of: steps.append((step, of))
    drawn = draw(model, width=72, negative_prompt="c", scheduler=scheduler)
    assert [picture.shape for picture in drawn.pictures] == [(64, 72, 3)] * 2
    assert len(drawn.warnings) == warnings
    assert steps == [(1, 6), (2, 6), (3, 6), (4, 6), (5, 6), (6, 6)]


# --- steps, deadline -----------------------------------------------------------------------------


def test_steps_are_told_over_all_pictures(fake: Fake) -> None:
    model = fake(fakes.grey)
    model.at_once = 2
    steps: list[tuple[int, int]] = []
    model.on_step = lambda step, of: steps.append((step, of))
    draw(model, num_images_per_prompt=2, num_inference_steps=2)
    assert steps == [(2, 8), (4, 8), (6, 8), (8, 8)]


def test_a_scheduler_of_second_order_ends_at_its_own_last_step(model: Any) -> None:
    steps: list[tuple[int, int]] = []
    model.on_step = lambda step, of: steps.append((step, of))
    draw(model, prompt=("a",), scheduler="heun")
    assert steps[-1][0] == steps[-1][1] == len(steps)


def test_after_the_deadline_no_further_step_is_drawn(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = fake(fakes.grey), list[int]()
    model.on_step = lambda step, of: seen.append(step)
    monkeypatch.setattr(time, "monotonic", lambda: float(len(seen)))
    error = failing(model, 3.5, num_inference_steps=50, prompt=("a",), deadline_ms=1000)
    assert (error.code, error.param) == ("deadline_exceeded", "deadline_ms")
    assert seen == [1, 2, 3, 4]


def test_a_deadline_that_passed_in_the_queue_costs_no_step(fake: Fake) -> None:
    model = fake(fakes.grey)
    model.on_step = lambda step, of: pytest.fail("drew a step")
    assert failing(model, time.monotonic() - 1).code == "deadline_exceeded"


# --- no picture ----------------------------------------------------------------------------------


def spoiled(value: float) -> fakes.Paint:
    def paint(pictures: int, width: int, height: int) -> torch.Tensor:
        painted = fakes.grey(pictures, width, height)
        painted[-1] = value
        return painted

    return paint


def test_one_nan_among_good_pixels_is_an_error(fake: Fake) -> None:
    def paint(pictures: int, width: int, height: int) -> torch.Tensor:
        painted = fakes.grey(pictures, width, height)
        painted[1, 2, 3, 4] = torch.nan
        return painted

    assert failing(fake(paint)).code == "nan_output"


def test_one_black_picture_is_an_error(fake: Fake) -> None:
    assert failing(fake(spoiled(0.0))).code == "blank_output"
    assert len(draw(fake(spoiled(1.0))).pictures) == 2


def test_a_picture_held_back_by_the_safety_checker_is_an_error(fake: Fake) -> None:
    def paint(pictures: int, width: int, height: int) -> Any:
        return SimpleNamespace(images=spoiled(0.0)(pictures, width, height), nsfw_content_detected=[False, True])

    assert failing(fake(paint)).code == "content_filtered"


def test_pixels_are_rounded_as_diffusers_does(fake: Fake) -> None:
    value = 100.6 / 255
    picture = draw(fake(lambda n, w, h: torch.full((n, 3, h, w), value))).pictures[0]
    assert (picture == 101).all()


# --- sizes ---------------------------------------------------------------------------------------


def test_a_model_that_enlarges_draws_its_own_size_and_says_so(fake: Fake) -> None:
    sizes: list[tuple[int, int]] = []

    def paint(pictures: int, width: int, height: int) -> torch.Tensor:
        sizes.append((width, height))
        return fakes.grey(pictures, width, height)

    model = fake(paint, enlarges=True)
    same, wider, tall = draw(model), draw(model, width=128, height=128), draw(model, width=128, height=256)
    assert sizes == [(64, 64)] * 3
    assert tall.pictures[0].shape == (256, 128, 3)
    assert same.warnings == ()
    assert wider.warnings == ("Tiny draws 64x64; the picture was scaled to 128x128.",)
    assert tall.warnings == (
        "Tiny draws 64x64; the picture was scaled to 128x256, and its edges were extended to fill it.",
    )


# --- out of memory -------------------------------------------------------------------------------


class Hungry:
    """Runs out of memory above `room` pictures, with a tensor in its frame, as a UNet's forward has."""

    def __init__(self, room: int) -> None:
        self.room, self.asked, self.left = room, list[int](), list[weakref.ref[torch.Tensor]]()

    def __call__(self, pictures: int, width: int, height: int) -> torch.Tensor:
        gc.disable()  # what is freed must be freed by the code under test
        assert not any(tensor() is not None for tensor in self.left), "an earlier attempt still holds its memory"
        self.asked.append(pictures)
        activations = torch.ones(pictures)
        self.left.append(weakref.ref(activations))
        if pictures > self.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return fakes.grey(pictures, width, height)


@pytest.fixture(autouse=True)
def collecting() -> Any:
    yield
    gc.enable()


def test_out_of_memory_halves_the_batch_until_it_fits(fake: Fake) -> None:
    hungry = Hungry(room=2)
    assert len(draw(fake(hungry), num_images_per_prompt=4).pictures) == 8
    assert hungry.asked == [8, 4, 2, 2, 2, 2]


def test_one_picture_that_does_not_fit_is_told_and_the_model_lives(fake: Fake) -> None:
    hungry = Hungry(room=0)
    model = fake(hungry)
    error = failing(model)
    assert (error.code, hungry.asked) == ("gpu_out_of_memory", [2, 1])
    assert model.healthy
    assert all(tensor() is None for tensor in hungry.left)


def test_memory_that_stays_allocated_twice_in_a_row_ends_the_model(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_memory, "GRACE_SECONDS", 0)
    hungry, ended = Hungry(room=1), list[bool]()
    model = fake(hungry)
    allocated = iter([100, 106, 100, 106, 106])
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: next(allocated))
    model.memory = gpu_memory.Memory(lambda: ended.append(True))
    draw(model)  # 106: above, but the first
    draw(model)  # 100: back again
    draw(model)  # 106: the first again
    assert model.healthy and not ended
    assert failing(model).code == "gpu_out_of_memory"
    wait_until(lambda: bool(ended))
    assert not model.healthy


def test_a_lost_context_ends_the_model(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_memory, "GRACE_SECONDS", 0)

    def paint(pictures: int, width: int, height: int) -> torch.Tensor:
        raise RuntimeError("CUDA error: device-side assert triggered")

    model, ended = fake(paint), list[bool]()
    model.memory = gpu_memory.Memory(lambda: ended.append(True))
    assert failing(model).code == "container_died"
    assert not model.healthy
    wait_until(lambda: bool(ended))


def test_a_model_that_gave_up_ends_its_process_after_the_answer_left() -> None:
    program = (
        "import memory, time\n"
        "memory.GRACE_SECONDS = 0.2\n"
        "memory.Memory().give_up()\n"
        "print('answered', flush=True)\n"
        "time.sleep(60)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=MODEL_CODE)
    assert ran.returncode == gpu_memory.EXIT_STATUS
    assert ran.stdout.splitlines()[-1] == "answered"


@pytest.mark.parametrize(
    ("message", "out_of_memory", "lost"),
    [
        ("CUDA out of memory. Tried to allocate 20.00 MiB.", True, False),
        ("CUDA error: out of memory", True, False),
        ("MPS backend out of memory (MPS allocated: 5 GB)", True, False),
        ("CUDA error: an illegal memory access was encountered", False, True),
        ("mat1 and mat2 shapes cannot be multiplied", False, False),
    ],
)
def test_errors_are_told_apart(message: str, out_of_memory: bool, lost: bool) -> None:
    error = RuntimeError(message)
    assert (gpu_memory.ran_out(error), gpu_memory.lost_context(error)) == (out_of_memory, lost)


def test_any_other_failure_passes_through(fake: Fake) -> None:
    def paint(pictures: int, width: int, height: int) -> torch.Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        draw(fake(paint))


def test_the_log_of_a_recovery_is_json(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    draw(fake(Hungry(room=1)))
    assert [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()] == ["gpu_out_of_memory"]


def wait_until(done: Callable[[], bool], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)
