"""The table of seconds and prices follows the catalogue and the prices."""

from __future__ import annotations

import pytest

from docs.generation_times import TIMES, times
from stacks.config.catalogue import model_ids, read_model
from stacks.config.instances import FAMILIES, instance_types
from stacks.config.prices import USD_PER_HOUR
from tests.conftest import ROOT


@pytest.mark.parametrize("id", model_ids(ROOT))
def test_every_model_has_a_price_on_its_cheapest_type(id: str) -> None:
    model = read_model(id, ROOT)
    found = list(times(model))
    assert all(time.instance_type in instance_types(model) and time.source for time in found)
    gpu = [name for name in instance_types(model) if not model.gpu_memory_gib or FAMILIES[name.split(".")[1]].gpu_gib]
    assert {time.instance_type for time in found} & set(gpu[:2])


@pytest.mark.parametrize("id", sorted(TIMES["work"]))
def test_the_work_is_that_of_the_first_size(id: str) -> None:
    """A changed default size needs new numbers."""
    assert list(read_model(id, ROOT).sizes[0]) == TIMES["work"][id]["size"]


def test_numbers_of_a_model_that_left_the_catalogue_are_removed() -> None:
    named = {*TIMES["work"], *(entry["model"] for kind in ("published", "measured") for entry in TIMES[kind])}
    assert named <= set(model_ids(ROOT))


def test_a_time_is_published_only_for_the_steps_of_its_source() -> None:
    model = read_model("sd-1.5", ROOT)
    at = {steps: next(times(model.model_copy(update={"steps": steps}))) for steps in (25, 50)}
    assert (at[50].kind, at[50].seconds, at[25].kind) == ("published", 6.4, "computed")
    assert 3 < at[25].seconds < 3.5
    assert at[50].usd_per_1000 == pytest.approx(6.4 / 3.6 * USD_PER_HOUR["ml.g4dn.xlarge"])
