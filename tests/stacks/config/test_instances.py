"""The instance type follows the model."""

from __future__ import annotations

import dataclasses
import re

import pytest

from app import ROOT
from stacks.config.catalogue import CatalogueError, Model, model_ids, read_model
from stacks.config.images import DIFFUSERS, GPU_TAG, check_class
from stacks.config.instances import FAMILIES, choose_instances, instance_for, instance_types
from stacks.config.prices import USD_PER_HOUR
from stacks.config.settings import Settings

SD = read_model("sd-1.5", ROOT)
EMOJI = read_model("emoji", ROOT)
KLEIN = read_model("flux.2-klein-4b", ROOT)


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
def test_the_cheapest_that_holds_the_model(name: str, cheapest: str) -> None:
    model = read_model(name, ROOT)
    assert instance_for(model, "") == cheapest
    held = instance_types(model)
    assert held == sorted(held, key=USD_PER_HOUR.__getitem__)
    assert all(instance_for(model, one) == one for one in held)


@pytest.mark.parametrize("name", model_ids(ROOT))
def test_the_serving_image_has_every_class(name: str) -> None:
    check_class(read_model(name, ROOT))


def test_a_class_that_the_image_lacks_is_refused() -> None:
    check_class(dataclasses.replace(SD, diffusers=DIFFUSERS))
    with pytest.raises(CatalogueError) as refusal:
        check_class(dataclasses.replace(SD, diffusers="0.42.0"))
    assert str(refusal.value).startswith(
        f"sd-1.5 needs diffusers 0.42.0 for StableDiffusionPipeline, and the serving image has {DIFFUSERS}. Choose"
    )


def test_a_pipeline_that_the_container_does_not_load_is_refused() -> None:
    with pytest.raises(CatalogueError) as refusal:
        check_class(dataclasses.replace(SD, pipeline="FooPipeline"))
    assert str(refusal.value).startswith("sd-1.5 has the pipeline 'FooPipeline'; it can be ChromaPipeline, ")


@pytest.mark.parametrize(
    ("model", "asked", "reason"),
    [
        (SD, "ml.m5.xlarge", "it needs 6 GiB of GPU memory, and the type has no GPU"),
        (KLEIN, "ml.g4dn.xlarge", "it needs 19 GiB of GPU memory, and the type has a GPU of 14.5 GiB"),
        (KLEIN, "ml.p3.2xlarge", "it needs 19 GiB of GPU memory, and the type has a GPU of 15.7 GiB"),
        (KLEIN, "ml.g6.xlarge", "loading it needs 24 GiB of memory, and the type has 16"),
        (
            dataclasses.replace(KLEIN, gpu_memory_gib=14.5),
            "ml.g4dn.2xlarge",
            "it draws in bfloat16, which the type's GPU cannot",
        ),
        (
            dataclasses.replace(SD, gpu_memory_gib=0),
            "ml.c5.large",
            "loading it needs 8 GiB of memory, and the type has 4",
        ),
    ],
)
def test_a_type_that_cannot_hold_the_model_is_refused(model: Model, asked: str, reason: str) -> None:
    with pytest.raises(CatalogueError) as refusal:
        instance_for(model, asked)
    would = ", ".join(instance_types(model))
    assert str(refusal.value) == f"{asked} cannot hold {model.id}: {reason}. Set instance_type to {would}."


@pytest.mark.parametrize(("gib", "held"), [(14.5, True), (14.6, False)])
def test_the_bound_of_a_gpu(gib: float, held: bool) -> None:
    assert ("ml.g4dn.xlarge" in instance_types(dataclasses.replace(SD, gpu_memory_gib=gib))) is held


@pytest.mark.parametrize(("gib", "held"), [(16, True), (16.1, False)])
def test_the_bound_of_the_host(gib: float, held: bool) -> None:
    assert ("ml.g4dn.xlarge" in instance_types(dataclasses.replace(SD, host_memory_gib=gib))) is held


def test_fallbacks_come_after_the_type_that_was_chosen() -> None:
    chosen = choose_instances(SD, Settings(instance_fallbacks="ml.g6.xlarge,ml.p5.48xlarge"))
    assert chosen.pool == ("ml.g4dn.xlarge", "ml.g6.xlarge", "ml.p5.48xlarge")


@pytest.mark.parametrize(
    ("model", "first", "fallbacks", "said"),
    [
        (
            KLEIN,
            "",
            "ml.g6e.xlarge,ml.g4dn.xlarge",
            "ml.g4dn.xlarge cannot hold flux.2-klein-4b: it needs 19 GiB of GPU memory, and the type has a "
            "GPU of 14.5 GiB. Set instance_fallbacks to",
        ),
        (
            EMOJI,
            "ml.m5.large",
            "ml.m5.xlarge,ml.g4dn.xlarge",
            "ml.m5.large has none and ml.g4dn.xlarge in instance_fallbacks has a GPU: one image and one driver serve",
        ),
        (EMOJI, "ml.g5.xlarge", "ml.m5.large", "ml.g5.xlarge has a GPU and ml.m5.large in instance_fallbacks has none"),
        (SD, "", "ml.g5.xlarge,ml.g4dn.xlarge", "ml.g4dn.xlarge is in the list twice: ml.g4dn.xlarge comes first,"),
        (SD, "", "ml.g5.xlarge,ml.g5.xlarge", "ml.g5.xlarge is in the list twice: ml.g4dn.xlarge comes first,"),
    ],
)
def test_fallbacks_that_cannot_serve_are_refused(model: Model, first: str, fallbacks: str, said: str) -> None:
    with pytest.raises(CatalogueError) as refusal:
        choose_instances(model, Settings(instance_type=first, instance_fallbacks=fallbacks))
    assert str(refusal.value).startswith(said)


@pytest.mark.parametrize("name", ["ml.c7g.xlarge", "ml.m6gd.2xlarge", "ml.c6gn.large", "ml.p6e-gb200.36xlarge"])
def test_the_image_does_not_start_on_arm(name: str) -> None:
    with pytest.raises(CatalogueError, match="its processors are ARM's, and the serving image is for x86 alone"):
        instance_for(EMOJI, name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ml.p2.xlarge", r"its GPUs \(K80\) are older than the serving image's CUDA 12.4 knows"),
        ("ml.g4ad.xlarge", "its GPUs are AMD's, and the serving image is for NVIDIA's alone"),
        ("ml.g6f.large", "its GPU is a part of a card"),
        ("ml.gr6f.4xlarge", "its GPU is a part of a card"),
        ("ml.g7e.2xlarge", r"its GPUs \(Blackwell\) are newer than the serving image's CUDA 12.4 and its driver know"),
        ("ml.p6-b200.48xlarge", r"its GPUs \(Blackwell\)"),
    ],
)
@pytest.mark.parametrize("model", [EMOJI, SD, KLEIN], ids=lambda model: model.id)
def test_the_image_does_not_run_on_every_gpu(model: Model, name: str, said: str) -> None:
    assert GPU_TAG.startswith("2.6.0-") and "-cu124-" in GPU_TAG  # with other software they are others
    with pytest.raises(CatalogueError, match=said):
        instance_for(model, name)


@pytest.mark.parametrize("name", ["ml.r5.4xlarge", "ml.inf2.xlarge"])
def test_a_type_without_a_gpu_holds_no_model_that_needs_one(name: str) -> None:
    """Also where it is not in the table: it would start, and draw for minutes."""
    with pytest.raises(CatalogueError, match="and the type has no GPU"):
        instance_for(SD, name)
    assert instance_for(EMOJI, name) == name


def test_a_type_outside_of_the_table_is_believed() -> None:
    assert instance_for(KLEIN, "ml.p5.48xlarge") == "ml.p5.48xlarge"


def test_the_cards_before_the_t4_hold_what_the_t4_holds() -> None:
    assert all(instance_for(read_model(name, ROOT), "ml.p3.2xlarge") for name in ("sd-1.5", "sdxl", "sdxl-lcm"))
    with pytest.raises(CatalogueError, match="it draws in bfloat16"):
        instance_for(dataclasses.replace(KLEIN, gpu_memory_gib=8), "ml.p3.2xlarge")


def test_a_model_that_nothing_holds_wants_a_type() -> None:
    giant = dataclasses.replace(KLEIN, gpu_memory_gib=100)
    with pytest.raises(CatalogueError, match="no instance type of our table holds it"):
        instance_for(giant, "")
    assert instance_for(giant, "ml.p5e.48xlarge") == "ml.p5e.48xlarge"


def test_every_priced_type_is_of_a_known_family() -> None:
    for name in USD_PER_HOUR:
        assert re.fullmatch(r"ml\.[a-z0-9]+\.(\d*x)?large", name)
        assert name.split(".")[1] in FAMILIES
