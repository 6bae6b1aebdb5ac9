import sys
from typing import Any

import pytest

from contract import SCHEDULERS, EaselError, GenerationRequest
from generation import schedulers
from generation.generate import draw, view
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
def test_each_draws_and_leaves_the_loaded_pipeline_as_it_was(model: Any, name: str) -> None:
    scheduler = model.pipeline.scheduler
    config, state = dict(scheduler.config), dict(vars(scheduler))
    draw(model, request(name), expires=None)
    assert model.pipeline.scheduler is scheduler
    assert dict(scheduler.config) == config
    assert all(vars(scheduler)[key] is value for key, value in state.items())


@pytest.mark.parametrize("name", DIFFUSION)
def test_a_view_shares_everything_but_the_scheduler(model: Any, name: str) -> None:
    seen = view(model.pipeline, name, type(model.pipeline))
    assert type(seen.scheduler).__name__ == schedulers._CLASSES[name][0]
    shared = {part: made for part, made in model.pipeline.components.items() if part != "scheduler"}
    assert all(getattr(seen, part) is made for part, made in shared.items())
    assert seen.config["requires_safety_checker"] is False  # an option that is no component


def test_the_model_s_own_noise_schedule_is_kept() -> None:
    from diffusers import DDIMScheduler

    loaded = DDIMScheduler(prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing")
    made = schedulers.make("euler", loaded)
    assert type(made).__name__ == "EulerDiscreteScheduler"
    kept = ("prediction_type", "rescale_betas_zero_snr", "timestep_spacing")
    assert [made.config[name] for name in kept] == ["v_prediction", True, "trailing"]


def test_latents_are_never_clipped() -> None:
    from diffusers import EulerDiscreteScheduler

    for name in ("ddim", "ddpm"):
        assert not schedulers.make(name, EulerDiscreteScheduler()).config["clip_sample"]


def test_lms_without_scipy_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import DDIMScheduler

    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(EaselError, match="scipy") as caught:
        schedulers.make("lms", DDIMScheduler())
    assert caught.value.code == "config_error"


def test_a_flow_model_keeps_its_own() -> None:
    from diffusers import DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler

    assert schedulers.usable(FlowMatchEulerDiscreteScheduler()) == ("flow_euler",)
    sana = DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True)
    assert schedulers.usable(sana) == ("dpmpp_2m",)
