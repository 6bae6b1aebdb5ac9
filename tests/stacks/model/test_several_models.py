"""Several models in one Easel: each has resources of its own, and comes and goes without a change of the others."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from stacks.config.catalogue import CatalogueError, read_models
from stacks.config.instances import choose_all
from stacks.config.names import DEFAULT, Names
from stacks.config.settings import MOST_MODELS, Settings, SettingsError, parse_settings
from stacks.model.stack import DEPLOY_ALARM
from tests.easel.running import ROOT
from tests.stacks.api.test_functions import models_of
from tests.stacks.assembly import ENTRY, Assembly, synthesise
from tests.stacks.model.test_update_rollback import models

pytestmark = pytest.mark.cdk
SHARED = ("ReleaseExpiry", "BudgetStop", "CDKMetadata")
"""Start of the ids of resources that know all models."""
MOST_RESOURCES = 500
"""CloudFormation's limit for a stack."""


@pytest.fixture(scope="module")
def root(catalogue: Path) -> Path:
    for i in range(MOST_MODELS):
        entry = {**ENTRY, "id": f"other.{i}", "source": {"kind": "hub", "repository": "o/m", "revision": "main"}}
        (catalogue / "models" / f"other.{i}.json").write_text(json.dumps(entry))
    return catalogue


def deployed(tmp_path: Path, root: Path, models: str, **settings: str) -> Assembly:
    return synthesise(tmp_path / models.replace(",", "_"), root, {"model": models, **settings}, None)


def resources(assembly: Assembly) -> dict[str, Any]:
    found: dict[str, Any] = assembly.templates["EaselModel"]["Resources"]
    return {id: resource for id, resource in found.items() if not id.startswith(SHARED)}


def test_a_model_comes_and_goes_without_a_change_of_the_others(tmp_path: Path, root: Path) -> None:
    single, two, three, other = (
        resources(deployed(tmp_path, root, models)) for models in ("tiny", "tiny,hub", "tiny,hub,s3", "tiny,s3")
    )
    assert two.items() >= single.items()
    assert three.items() >= two.items()
    assert {id: three[id] for id in other} == other
    assert not other.keys() & (two.keys() - single.keys())


def test_each_model_has_its_own_endpoint(tmp_path: Path, root: Path) -> None:
    assembly = deployed(tmp_path, root, "tiny,hub", budget_action="stop", alert_email="a@example.com")
    names = [properties["EndpointName"] for properties in assembly.properties("AWS::SageMaker::Endpoint")]
    first, second = [model["endpoint"] for model in models_of(assembly)]
    assert {*names} == {first, second}
    assert second.endswith("-hub")
    assert [model["profile"]["id"] for model in models_of(assembly)] == ["tiny", "hub"]
    for kind in (
        "AWS::ApplicationAutoScaling::ScalableTarget",
        "AWS::SageMaker::Model",
        "AWS::SageMaker::EndpointConfig",
        "Custom::EaselEndpointStart",
    ):
        assert len(assembly.resources(kind, "EaselModel")) == 2, kind
    outputs = assembly.outputs("EaselModel")
    assert (outputs["Model"], outputs["EndpointName"]) == ("tiny,hub", first)
    assert outputs["Endpoints"] == f"tiny={first},hub={second}"
    assert re.fullmatch(r"tiny: 0 USD .*; hub: 0 USD .*", outputs["PriceIdle"])
    (stop,) = (f for f in assembly.properties("AWS::Lambda::Function") if "budget_stop" in f["Handler"])
    assert stop["Environment"]["Variables"]["EASEL_ENDPOINTS"] == f"{first},{second}"


def test_the_api_may_call_and_watches_every_endpoint(tmp_path: Path, root: Path) -> None:
    assembly = deployed(tmp_path, root, "tiny,hub")
    second = models_of(assembly)[1]["endpoint"]
    policies = json.dumps(assembly.resources("AWS::IAM::Policy", "EaselApi"))
    assert second in policies
    assert "options/*" in policies
    alarms = json.dumps(assembly.resources("AWS::CloudWatch::Alarm", "EaselApi"))
    assert alarms.count(second) == 4
    assert second in json.dumps(assembly.resources("AWS::CloudWatch::Dashboard", "EaselApi"))


def test_an_update_of_a_further_model_looks_at_its_own_jobs(tmp_path: Path, root: Path) -> None:
    assembly = deployed(tmp_path, root, "tiny,hub", update="blue_green")
    alarms: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    for id, alarm in assembly.resources("AWS::CloudWatch::Alarm", "EaselModel").items():
        if "Rollback" in id and alarm["Properties"]["Namespace"] == "Easel":
            alarms[id.startswith("Modelhub")].append(alarm["Properties"])
    assert (len(alarms[False]), len(alarms[True])) == (3, 3)
    assert (models(alarms[False]), models(alarms[True])) == (set(), {"hub"})


def test_an_alarm_of_deploy_functions_has_ten_metrics_at_most(tmp_path: Path, root: Path) -> None:
    assembly = deployed(tmp_path, root, "hub,s3,tiny")
    alarms = {id: item for id, item in resources(assembly).items() if DEPLOY_ALARM in id}
    assert len(alarms) == 3
    for alarm in alarms.values():
        assert sum("MetricStat" in metric for metric in alarm["Properties"].get("Metrics", ())) <= 10


def test_the_most_models_fit_into_a_stack(tmp_path: Path, root: Path) -> None:
    models = ",".join(f"other.{i}" for i in range(MOST_MODELS))
    settings = {"mode": "realtime", "update": "blue_green", "budget_action": "stop", "instance_type": "ml.g5.xlarge"}
    assembly = deployed(tmp_path, root, models, **settings)
    counts = {name: len(template["Resources"]) for name, template in assembly.templates.items()}
    assert max(counts.values()) <= MOST_RESOURCES, counts
    names = {model["endpoint"] for model in models_of(assembly)}
    assert len(names) == MOST_MODELS


def test_each_model_can_have_its_own_instance_and_bounds(tmp_path: Path, root: Path) -> None:
    assembly = deployed(
        tmp_path, root, "tiny,hub,s3", mode="realtime", instance_type="ml.g5.xlarge,tiny=ml.m5.large",
        instance_fallbacks="hub=ml.g6.xlarge", min_instances="hub=2", max_instances="4,s3=1", idle_hours="s3=0,9",
    )  # fmt: skip
    configs = assembly.properties("AWS::SageMaker::EndpointConfig")
    variants = [config["ProductionVariants"][0] for config in configs]
    assert [variant.get("InstanceType") for variant in variants] == ["ml.m5.large", None, "ml.g5.xlarge"]
    assert [pool["InstanceType"] for pool in variants[1]["InstancePools"]] == ["ml.g5.xlarge", "ml.g6.xlarge"]
    targets = assembly.properties("AWS::ApplicationAutoScaling::ScalableTarget")
    assert [(each["MinCapacity"], each["MaxCapacity"]) for each in targets] == [(1, 4), (2, 4), (1, 1)]
    assert json.dumps(assembly.resources("AWS::Lambda::Function", "EaselModel")).count('"EASEL_IDLE_HOURS": "9"') == 2
    outputs = assembly.outputs("EaselModel")
    assert "s3: the endpoint is never deleted" in outputs["IdleGuardDoes"]
    for part in ("tiny: about 0.115 USD", "2 x ml.g5.xlarge", "s3: about 1.408 USD"):
        assert part in outputs["PriceIdle"]
    assert [model.get("usd_per_hour") for model in models_of(assembly)] == [0.115, 1.408, 1.408]


def test_a_type_that_cannot_hold_a_model_is_refused_with_how_to_set_its_own(root: Path) -> None:
    settings = parse_settings({"model": "emoji,sdxl", "instance_type": "ml.m5.large"})
    with pytest.raises(CatalogueError) as error:
        choose_all(read_models(settings.models, ROOT), settings)
    assert (error.value.code, error.value.key) == ("no_gpu", "instance_type")
    assert "instance_type=sdxl=ml.g" in str(error.value)


@pytest.mark.parametrize(
    ("models", "code"),
    [(",", "wrong_form"), ("", "wrong_form"), (",".join(["tiny"] * (MOST_MODELS + 1)), "out_of_range")],
    ids=["comma", "empty", "too-many"],
)
def test_a_list_that_cannot_be_deployed_is_refused(models: str, code: str) -> None:
    with pytest.raises(SettingsError) as error:
        parse_settings({"model": models})
    assert (error.value.code, error.value.key) == (code, "model")


def test_the_largest_list_is_accepted() -> None:
    assert len(parse_settings({"model": ",".join(["tiny"] * MOST_MODELS)}).models) == MOST_MODELS


def test_a_model_is_named_once(root: Path) -> None:
    with pytest.raises(CatalogueError) as error:
        read_models(Settings(model="tiny,tiny").models, root)
    assert error.value.code == "conflict"


@pytest.mark.parametrize("model", ["a", "a.b_c-", "x" * 40, "flux.2-klein-4b"])
@pytest.mark.parametrize("mode", ["async", "realtime"])
def test_names_of_endpoints_are_valid(mode: str, model: str) -> None:
    for names in (DEFAULT, Names("a" * 16)):
        name = names.endpoint(mode, ["ml.g5.xlarge"], model)
        assert re.fullmatch("[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", name)
        assert name.startswith(names.endpoint_prefix(mode))
    assert DEFAULT.endpoint(mode, ["x"], "a.b") != DEFAULT.endpoint(mode, ["x"], "a-b")
