"""Which instance types are chosen and refused for a model."""

from __future__ import annotations

import re
from typing import Any

import pytest

from stacks.config.catalogue import CatalogueError, Model, model_ids, read_model
from stacks.config.images import DIFFUSERS, GPU_TAG, check_class
from stacks.config.instances import FAMILIES, choose_instances, instance_for, instance_types
from stacks.config.prices import USD_PER_HOUR
from stacks.config.settings import Settings
from tests.conftest import ROOT

SD = read_model("sd-1.5", ROOT)
EMOJI = read_model("emoji", ROOT)
KLEIN = read_model("flux.2-klein-4b", ROOT)


def changed(model: Model, **update: Any) -> Model:
    return model.model_copy(update=update)


def refusal(model: Model, requested: str) -> CatalogueError:
    with pytest.raises(CatalogueError) as caught:
        instance_for(model, requested)
    return caught.value


@pytest.mark.parametrize(
    ("name", "cheapest"),
    [
        ("emoji", "ml.m5.large"),
        ("sd-1.5", "ml.g4dn.xlarge"),
        ("sdxl", "ml.g4dn.xlarge"),
        ("sdxl-lcm", "ml.g4dn.xlarge"),
        ("flux.2-klein-4b", "ml.g6.2xlarge"),
        ("z-image-turbo", "ml.g6e.xlarge"),
    ],
)
def test_default_is_the_cheapest_type_that_holds_the_model(name: str, cheapest: str) -> None:
    model = read_model(name, ROOT)
    assert instance_for(model, "") == cheapest
    suitable = instance_types(model)
    assert suitable == sorted(suitable, key=USD_PER_HOUR.__getitem__)
    assert all(instance_for(model, item) == item for item in suitable)


@pytest.mark.parametrize("name", model_ids(ROOT))
def test_serving_image_has_the_class_of_every_model(name: str) -> None:
    check_class(read_model(name, ROOT))


@pytest.mark.parametrize(
    ("update", "code", "key", "named"),
    [
        ({"diffusers": "0.42.0"}, "image_too_old", "diffusers", ("0.42.0", DIFFUSERS)),
        ({"pipeline": "FooPipeline"}, "not_allowed", "pipeline", ("FooPipeline", "Did you mean")),
    ],
)
def test_model_that_the_image_cannot_load_is_refused(
    update: dict[str, str], code: str, key: str, named: tuple[str, ...]
) -> None:
    check_class(changed(SD, diffusers=DIFFUSERS))
    with pytest.raises(CatalogueError) as caught:
        check_class(changed(SD, **update))
    assert (caught.value.code, caught.value.key) == (code, key)
    assert all(name in str(caught.value) for name in named)


@pytest.mark.parametrize(
    ("model", "requested", "code", "numbers"),
    [
        (SD, "ml.m5.xlarge", "no_gpu", ("6 GiB",)),
        (KLEIN, "ml.g4dn.xlarge", "gpu_memory", ("19 GiB", "14.5 GiB")),
        (KLEIN, "ml.p3.2xlarge", "gpu_memory", ("19 GiB", "15.7 GiB")),
        (KLEIN, "ml.g6.xlarge", "host_memory", ("24 GiB", "16 GiB")),
        (changed(KLEIN, gpu_memory_gib=14.5), "ml.g4dn.2xlarge", "no_bfloat16", ()),
        (changed(KLEIN, gpu_memory_gib=8), "ml.p3.2xlarge", "no_bfloat16", ()),
        (changed(SD, gpu_memory_gib=0), "ml.c5.large", "host_memory", ("8 GiB", "4 GiB")),
    ],
)
def test_type_that_cannot_hold_the_model_is_refused_with_types_that_can(
    model: Model, requested: str, code: str, numbers: tuple[str, ...]
) -> None:
    error = refusal(model, requested)
    assert (error.code, error.key) == (code, "instance_type")
    assert all(number in str(error) for number in (requested, model.id, *numbers, *instance_types(model)))


@pytest.mark.parametrize(("gib", "fits"), [(14.5, True), (14.6, False)])
def test_limit_of_gpu_memory(gib: float, fits: bool) -> None:
    assert ("ml.g4dn.xlarge" in instance_types(changed(SD, gpu_memory_gib=gib))) is fits


@pytest.mark.parametrize(("gib", "fits"), [(16, True), (16.1, False)])
def test_limit_of_host_memory(gib: float, fits: bool) -> None:
    assert ("ml.g4dn.xlarge" in instance_types(changed(SD, host_memory_gib=gib))) is fits


def test_fallbacks_come_after_the_chosen_type() -> None:
    chosen = choose_instances(SD, Settings(instance_fallbacks="ml.g6.xlarge,ml.p5.48xlarge"))
    assert chosen.pool == ("ml.g4dn.xlarge", "ml.g6.xlarge", "ml.p5.48xlarge")


@pytest.mark.parametrize(
    ("model", "first", "fallbacks", "code"),
    [
        (KLEIN, "", "ml.g6e.xlarge,ml.g4dn.xlarge", "gpu_memory"),
        (EMOJI, "ml.m5.large", "ml.m5.xlarge,ml.g4dn.xlarge", "mixed_types"),
        (EMOJI, "ml.g5.xlarge", "ml.m5.large", "mixed_types"),
        (SD, "", "ml.g5.xlarge,ml.g4dn.xlarge", "repeated_type"),
        (SD, "", "ml.g5.xlarge,ml.g5.xlarge", "repeated_type"),
    ],
)
def test_unsuitable_fallbacks_are_refused(model: Model, first: str, fallbacks: str, code: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        choose_instances(model, Settings(instance_type=first, instance_fallbacks=fallbacks))
    assert (caught.value.code, caught.value.key) == (code, "instance_fallbacks")


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("ml.c7g.xlarge", "ARM"),
        ("ml.m6gd.2xlarge", "ARM"),
        ("ml.c6gn.large", "ARM"),
        ("ml.p6e-gb200.36xlarge", "ARM"),
        ("ml.p2.xlarge", "K80"),
        ("ml.g4ad.xlarge", "AMD"),
        ("ml.g6f.large", "part of a GPU"),
        ("ml.gr6f.4xlarge", "part of a GPU"),
        ("ml.g7e.2xlarge", "Blackwell"),
        ("ml.p6-b200.48xlarge", "Blackwell"),
    ],
)
@pytest.mark.parametrize("model", [EMOJI, SD, KLEIN], ids=lambda model: model.id)
def test_types_that_the_serving_image_does_not_support_are_refused(model: Model, name: str, named: str) -> None:
    assert GPU_TAG.startswith("2.6.0-") and "-cu124-" in GPU_TAG  # UNSUPPORTED depends on these versions
    error = refusal(model, name)
    assert error.code == "unsupported_type"
    assert named in str(error)


@pytest.mark.parametrize("name", ["ml.r5.4xlarge", "ml.inf2.xlarge"])
def test_unknown_type_without_gpu_is_refused_for_a_model_that_needs_a_gpu(name: str) -> None:
    assert refusal(SD, name).code == "no_gpu"
    assert instance_for(EMOJI, name) == name


def test_unknown_type_with_gpu_is_accepted() -> None:
    assert instance_for(KLEIN, "ml.p5.48xlarge") == "ml.p5.48xlarge"


def test_v100_holds_what_the_t4_holds() -> None:
    assert all(instance_for(read_model(name, ROOT), "ml.p3.2xlarge") for name in ("sd-1.5", "sdxl", "sdxl-lcm"))


def test_model_that_no_known_type_holds_needs_an_explicit_type() -> None:
    giant = changed(KLEIN, gpu_memory_gib=100)
    assert refusal(giant, "").code == "missing"
    assert instance_for(giant, "ml.p5e.48xlarge") == "ml.p5e.48xlarge"


def test_every_priced_type_is_of_a_known_family() -> None:
    for name in USD_PER_HOUR:
        assert re.fullmatch(r"ml\.[a-z0-9]+\.(\d*x)?large", name)
        assert name.split(".")[1] in FAMILIES
