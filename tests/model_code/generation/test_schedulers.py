"""Schedulers: each request has its own, and the loaded scheduler stays as it is."""

import sys
from dataclasses import replace
from typing import Any

import pytest

from contract import SCHEDULERS, EaselError, GenerationRequest, steps_bound
from generation import schedulers
from generation.generate import generate, request_pipeline
from tests.model_code import tiny

DIFFUSION = [name for name in SCHEDULERS if not name.startswith("flow_") and name != "lms"]


def request(scheduler: str) -> GenerationRequest:
    return GenerationRequest(
        prompt=("a",),
        width=tiny.SIDE,
        height=tiny.SIDE,
        num_inference_steps=3,
        guidance_scale=4.0,
        seed=7,
        scheduler=scheduler,
    )


def test_every_name_of_the_contract_has_a_class() -> None:
    import diffusers

    assert set(schedulers._CLASSES) == set(SCHEDULERS)
    for name in schedulers.CLASS_NAMES:
        assert getattr(diffusers, name).__name__ == name


@pytest.mark.parametrize("name", DIFFUSION)
def test_a_generation_does_not_change_the_loaded_pipeline(model: Any, name: str) -> None:
    scheduler = model.pipeline.scheduler
    config, state = dict(scheduler.config), dict(vars(scheduler))
    generate(model, request(name), expires_at=None)
    assert model.pipeline.scheduler is scheduler
    assert dict(scheduler.config) == config
    assert all(vars(scheduler)[key] is value for key, value in state.items())


@pytest.mark.parametrize("name", DIFFUSION)
def test_a_request_pipeline_shares_everything_but_the_scheduler(model: Any, name: str) -> None:
    pipeline = request_pipeline(model.pipeline, name, type(model.pipeline))
    assert type(pipeline.scheduler).__name__ == schedulers._CLASSES[name][0]
    shared = {part: component for part, component in model.pipeline.components.items() if part != "scheduler"}
    assert all(getattr(pipeline, part) is component for part, component in shared.items())
    assert pipeline.config["requires_safety_checker"] is False  # an option, not a component


def test_the_noise_schedule_of_the_model_is_kept() -> None:
    from diffusers import DDIMScheduler

    loaded = DDIMScheduler(prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing")
    created = schedulers.create_scheduler("euler", loaded)
    assert type(created).__name__ == "EulerDiscreteScheduler"
    kept = ("prediction_type", "rescale_betas_zero_snr", "timestep_spacing")
    assert [created.config[name] for name in kept] == ["v_prediction", True, "trailing"]


def test_latents_are_never_clipped() -> None:
    from diffusers import EulerDiscreteScheduler

    for name in ("ddim", "ddpm"):
        assert not schedulers.create_scheduler(name, EulerDiscreteScheduler()).config["clip_sample"]


@pytest.mark.parametrize(("name", "limit"), [("lcm", 50), ("ddim", 150)])
def test_the_container_accepts_the_steps_that_the_contract_allows(model: Any, send: Any, name: str, limit: int) -> None:
    assert steps_bound(model.profile, name).maximum == limit
    assert send(model, scheduler=name, num_inference_steps=limit)["seeds"] == [7]
    error = send(model, scheduler=name, num_inference_steps=limit + 1)["error"]
    assert (error["code"], error["param"], str(limit) in error["hint"]) == ("out_of_range", "num_inference_steps", True)


@pytest.mark.parametrize("name", DIFFUSION)
def test_no_scheduler_takes_more_steps_than_its_schedule_has(
    model: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder may have a shorter schedule than its entry says."""
    from diffusers import LCMScheduler

    short = LCMScheduler(num_train_timesteps=20, original_inference_steps=10, steps_offset=1)
    monkeypatch.setattr(model.pipeline, "scheduler", short)
    limit = 10 if name == "lcm" else 19
    generate(model, replace(request(name), num_inference_steps=limit), expires_at=None)
    with pytest.raises(EaselError) as caught:
        generate(model, replace(request(name), num_inference_steps=limit + 1), expires_at=None)
    assert (caught.value.code, str(limit) in caught.value.hint) == ("out_of_range", True)


def test_lms_needs_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import DDIMScheduler

    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(EaselError, match="scipy") as caught:
        schedulers.create_scheduler("lms", DDIMScheduler())
    assert caught.value.code == "config_error"


def test_a_flow_model_keeps_its_own_scheduler() -> None:
    from diffusers import DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler

    assert schedulers.compatible_schedulers(FlowMatchEulerDiscreteScheduler()) == ("flow_euler",)
    sana = DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True)
    assert schedulers.compatible_schedulers(sana) == ("dpmpp_2m",)
