"""Every scheduler of every catalogue entry generates with the steps that it advertises."""

import functools
import io
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from contract import STEPS, EaselError, GenerationRequest, ModelProfile, steps_bound
from generation.generate import Model, generate
from generation.gpu_memory import GpuMemory
from tests.model_code import every_pipeline, tiny
from tests.model_code.scheduler_configs import CATALOGUE, load, profiles

pytestmark = pytest.mark.slow

PIPELINES: Mapping[str, Any] = {
    "emoji": tiny.stable_diffusion,
    "flux.2-klein-4b": tiny.flux_2_klein,
    "lcm-dreamshaper-v7": every_pipeline.latent_consistency_model,
    "sd-1.5": tiny.stable_diffusion,
    "sdxl": tiny.stable_diffusion_xl,
    "sdxl-lcm": tiny.stable_diffusion_xl_lcm,
    "z-image-turbo": tiny.z_image,
}
SIDE = 64
ENTRIES = [
    pytest.param(profile, name, id=f"{profile.id}-{name}") for profile in profiles() for name in profile.schedulers
]


@functools.cache
def pipeline(name: str) -> Any:
    created = PIPELINES[name]()
    created.set_progress_bar_config(disable=True)
    created.scheduler = load(CATALOGUE[name])
    return created


def model(profile: ModelProfile) -> Model:
    """Return a tiny model with the profile of an entry. It generates at 64x64."""
    small = replace(profile, sizes=((SIDE, SIDE),))
    return Model(pipeline(profile.id), small, grid=16, batch_size=8, memory=GpuMemory())


def run(profile: ModelProfile, scheduler: str, steps: int, strength: float | None = None) -> int:
    """Return the number of steps that ran."""
    image = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), "tomato").save(image, "PNG")
    request = GenerationRequest(
        prompt=("a",), width=SIDE, height=SIDE, num_inference_steps=steps, guidance_scale=profile.guidance_scale,
        seed=7, scheduler=scheduler, strength=strength,
        init_image=None if strength is None else b64encode(image.getvalue()).decode(),
    )  # fmt: skip
    created, seen = model(profile), list[int]()
    created.on_step = lambda step, total: seen.append(total)
    (pixels,) = generate(created, request, None).images
    assert pixels.shape == (SIDE, SIDE, 3)
    assert len(seen) == seen[-1]
    return len(seen)


@pytest.mark.parametrize(("profile", "scheduler"), ENTRIES)
def test_the_advertised_steps_generate(profile: ModelProfile, scheduler: str) -> None:
    """The most steps run with the entry's own scheduler. test_noise.py runs every scheduler without a model."""
    bound = steps_bound(profile, scheduler)
    most = [bound.maximum] if scheduler == profile.scheduler else []
    for steps in (bound.minimum, min(profile.steps, bound.maximum), *most):
        assert run(profile, scheduler, steps) >= steps


@pytest.mark.parametrize(("profile", "scheduler"), ENTRIES)
def test_the_advertised_steps_generate_from_an_image(profile: ModelProfile, scheduler: str) -> None:
    if not profile.image_to_image:
        pytest.skip("takes no init_image")
    bound = steps_bound(profile, scheduler)
    for steps, strength in ((1, 0.01), (1, 1), (2, 0.5), (profile.steps, 0.8), (bound.maximum, 0.01)):
        assert run(profile, scheduler, steps, strength) >= 1


@pytest.mark.parametrize("name", ["sdxl-lcm", "lcm-dreamshaper-v7"])
def test_one_step_more_than_advertised_is_refused(name: str) -> None:
    (profile,) = (profile for profile in profiles() if profile.id == name)
    most = steps_bound(profile, "lcm").maximum
    assert most == 50 < STEPS.maximum
    with pytest.raises(EaselError) as caught:
        run(profile, "lcm", most + 1)
    assert (caught.value.code, caught.value.param) == ("out_of_range", "num_inference_steps")
