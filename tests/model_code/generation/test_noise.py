"""Every scheduler with a perfect model: after the last step no noise is left."""

import pytest

from contract import ModelProfile
from generation.schedulers import compatible_schedulers
from tests.model_code.noise import TOLERANCE, noise_left, noise_of_entry
from tests.model_code.scheduler_configs import HOSTILE, load, profiles

ENTRIES = [
    pytest.param(profile, name, id=f"{profile.id}-{name}") for profile in profiles() for name in profile.schedulers
]


@pytest.mark.parametrize(("profile", "scheduler"), ENTRIES)
def test_no_noise_is_left_by_any_scheduler_of_the_catalogue(profile: ModelProfile, scheduler: str) -> None:
    assert {steps: left for steps, left in noise_of_entry(profile, scheduler) if left > TOLERANCE} == {}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_noise_is_left_by_the_schedulers_that_a_folder_offers(name: str) -> None:
    loaded = load(HOSTILE[name])
    left = {
        (scheduler, steps): noise_left(scheduler, loaded, steps)
        for scheduler in compatible_schedulers(loaded)
        for steps in (1, 4, 7, 25, 50)
    }
    assert {key: value for key, value in left.items() if value > TOLERANCE} == {}
