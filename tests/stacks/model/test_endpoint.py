"""The endpoint, its model and its outputs."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import get_args

import botocore.session
import pytest

from stacks.config import images
from stacks.config.prices import USD_PER_HOUR, price
from stacks.config.settings import Settings
from tests.parity.__main__ import RECORD
from tests.stacks.assembly import Assembly, synthesise

CONFIG, ENDPOINT, MODEL = (f"AWS::SageMaker::{kind}" for kind in ("EndpointConfig", "Endpoint", "Model"))


def test_the_model_is_an_uncompressed_release_in_a_container_without_network(default: Assembly) -> None:
    model = default.only(MODEL)
    assert model["EnableNetworkIsolation"] is True
    source = model["PrimaryContainer"]["ModelDataSource"]["S3DataSource"]
    (release,) = default.resources("Custom::EaselRelease")
    assert source == {
        "CompressionType": "None",
        "S3DataType": "S3Prefix",
        "S3Uri": {"Fn::GetAtt": [release, "Uri"]},
    }


@pytest.mark.parametrize(("mode", "seconds", "threads"), [("default", "960", "4"), ("realtime", "900", "2")])
def test_the_container_has_its_variables(mode: str, seconds: str, threads: str, request: pytest.FixtureRequest) -> None:
    assembly: Assembly = request.getfixturevalue(mode)
    environment = dict(assembly.only(MODEL)["PrimaryContainer"]["Environment"])
    profile = environment.pop("EASEL_MODEL_PROFILE")
    assert json.loads(profile)["id"] == "tiny"
    assert "suggestions" not in profile
    assert environment == {
        "SAGEMAKER_PROGRAM": "inference.py",
        "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
        "MMS_MAX_REQUEST_SIZE": "26214400",
        "MMS_MAX_RESPONSE_SIZE": "26214400",
        "MMS_DEFAULT_RESPONSE_TIMEOUT_SECONDS": seconds,
        "MMS_JOB_QUEUE_SIZE": "4",
        "OMP_NUM_THREADS": threads,
        "OMP_WAIT_POLICY": "PASSIVE",
    }


def test_the_parity_record_was_made_with_these_variables(default: Assembly) -> None:
    """The profile and the threads depend on model and instance type, which differ there (tests/parity)."""
    recorded = json.loads(RECORD.read_text())["variables"]
    current = default.only(MODEL)["PrimaryContainer"]["Environment"]
    ignored = dict.fromkeys(("EASEL_MODEL_PROFILE", "OMP_NUM_THREADS"))
    assert recorded | ignored == current | ignored


def test_a_gpu_gets_the_gpu_image_and_its_driver(default: Assembly) -> None:
    (variant,) = default.only(CONFIG)["ProductionVariants"]
    assert variant["InstanceType"] == "ml.g4dn.xlarge"
    assert variant["InferenceAmiVersion"] == "al2-ami-sagemaker-inference-gpu-3-1"
    image = default.only(MODEL)["PrimaryContainer"]["Image"]
    assert image["Fn::Join"][1][-1].endswith(images.GPU_TAG)
    (table,) = default.templates["EaselModel"]["Mappings"].values()
    assert {region: row["account"] for region, row in table.items()} == images.ACCOUNTS


def test_sagemaker_knows_the_host_images() -> None:
    model = botocore.session.get_session().get_service_model("sagemaker")
    known = model.shape_for("ProductionVariantInferenceAmiVersion").enum
    assert set(images.GPU_AMIS.values()) <= set(known)
    assert set(images.GPU_AMIS) == set(get_args(Settings.model_fields["gpu_host"].annotation))


def test_a_cpu_gets_the_cpu_image_of_its_region(realtime: Assembly) -> None:
    (variant,) = realtime.only(CONFIG)["ProductionVariants"]
    assert "InferenceAmiVersion" not in variant
    image = realtime.only(MODEL)["PrimaryContainer"]["Image"]
    host, _, rest = image["Fn::Join"][1]
    assert (host, rest) == ("763104351884.dkr.ecr.eu-west-1.", f"/{images.REPOSITORY}:{images.CPU_TAG}")


def test_fallbacks_replace_the_instance_type_by_pools(cloud9: Assembly) -> None:
    """SageMaker refuses a variant with both."""
    (variant,) = cloud9.only(CONFIG)["ProductionVariants"]
    assert variant["InstancePools"] == [
        {"InstanceType": "ml.g6.xlarge", "Priority": 1},
        {"InstanceType": "ml.g4dn.xlarge", "Priority": 2},
    ]
    assert variant["VariantInstanceProvisionTimeoutInSeconds"] == 1800
    assert "InstanceType" not in variant
    assert variant["InferenceAmiVersion"] == images.GPU_AMIS["al2023"]
    assert cloud9.outputs("EaselModel")["PriceWarm"] == price(["ml.g6.xlarge", "ml.g4dn.xlarge"], 1)
    pool = sha256(b"ml.g6.xlarge,ml.g4dn.xlarge").hexdigest()[:6]
    assert f"Async{pool}" in next(iter(cloud9.resources(ENDPOINT)))


def test_china_has_its_own_image_account(china: Assembly) -> None:
    assert "727897471807.dkr.ecr.cn-north-1." in json.dumps(china.only(MODEL))


def test_govcloud_has_its_own_image_account(gov: Assembly) -> None:
    assert "442386744353.dkr.ecr.us-gov-west-1." in json.dumps(gov.only(MODEL))


@pytest.mark.parametrize("family", ["g4dn", "g5", "g6", "g6e", "p4d", "p5"])
def test_families_with_an_nvidia_gpu(family: str) -> None:
    assert images.has_gpu(f"ml.{family}.xlarge")


@pytest.mark.parametrize("family", ["m5", "c7i", "t2", "inf2", "r6gd", "trn1"])
def test_families_without_an_nvidia_gpu(family: str) -> None:
    assert not images.has_gpu(f"ml.{family}.xlarge")


def test_a_start_has_a_time_limit(each: Assembly) -> None:
    (variant,) = each.only(CONFIG)["ProductionVariants"]
    assert variant["ContainerStartupHealthCheckTimeoutInSeconds"] == 900
    assert variant["ModelDataDownloadTimeoutInSeconds"] == 1800


def test_the_role_is_deleted_after_the_endpoint(each: Assembly) -> None:
    (endpoint,) = each.resources(ENDPOINT).values()
    (role,) = (id for id in each.resources("AWS::IAM::Role", "EaselModel") if id.startswith("EndpointRole"))
    (policy,) = (id for id in each.resources("AWS::IAM::Policy", "EaselModel") if id.startswith("EndpointRole"))
    (logs,) = (id for id in each.resources("AWS::Logs::LogGroup", "EaselModel") if id.startswith("EndpointLogs"))
    assert {role, policy, logs} <= set(endpoint["DependsOn"])


def test_an_update_starts_an_instance_in_async_mode_and_keeps_the_count_in_realtime(
    default: Assembly, realtime: Assembly
) -> None:
    assert "RetainAllVariantProperties" not in default.only(ENDPOINT)
    assert realtime.only(ENDPOINT)["RetainAllVariantProperties"] is True


def test_another_mode_or_instance_type_is_another_endpoint(default: Assembly, realtime: Assembly) -> None:
    """SageMaker can change neither on an endpoint with autoscaling."""
    (first,), (second,) = (each.resources(ENDPOINT) for each in (default, realtime))
    pool = sha256(b"ml.g4dn.xlarge").hexdigest()[:6]
    assert f"Async{pool}" in first
    assert first != second
    assert default.only(ENDPOINT)["EndpointName"] == f"easel-async{pool}"


@pytest.mark.parametrize("mode", ["async", "realtime"])
def test_endpoint_off_removes_only_the_endpoint_and_what_changes_it(tmp_path: Path, catalogue: Path, mode: str) -> None:
    """So an account with a quota of one instance can update. Everything else keeps its logical id."""
    on, off = (
        synthesise(tmp_path / switch, catalogue, {"mode": mode, "endpoint": switch, "site": "off"}, None)
        for switch in ("on", "off")
    )
    ids = [
        {id: resource["Type"] for id, resource in each.templates["EaselModel"]["Resources"].items()}
        for each in (on, off)
    ]
    assert ids[1].items() <= ids[0].items()
    removed = {kind for id, kind in ids[0].items() if id not in ids[1]}
    scaling = {f"AWS::ApplicationAutoScaling::{kind}" for kind in ("ScalableTarget", "ScalingPolicy")}
    assert {ENDPOINT, *scaling} <= removed
    assert {MODEL, CONFIG, "AWS::S3::Bucket"}.isdisjoint(removed)
    assert on.templates["EaselStorage"] == off.templates["EaselStorage"]
    outputs = off.outputs("EaselModel")
    assert outputs["PriceWarm"] == outputs["PriceIdle"] == price(["ml.m5.large"], 0)
    assert outputs["EndpointName"] == on.only(ENDPOINT)["EndpointName"]
    assert on.templates["EaselApi"] == off.templates["EaselApi"]
    assert off.lint("EaselModel") == []
    assert json.loads((off.folder / "validation-report.json").read_text())["pluginReports"] == []


def test_async_output_goes_to_two_prefixes_and_two_topics(default: Assembly) -> None:
    asynchronous = default.only(CONFIG)["AsyncInferenceConfig"]
    assert asynchronous["ClientConfig"] == {"MaxConcurrentInvocationsPerInstance": 1}
    output = asynchronous["OutputConfig"]
    assert output["S3OutputPath"]["Fn::Join"][1][-1] == "/async-output"
    assert output["S3FailurePath"]["Fn::Join"][1][-1] == "/async-failures"
    topics = {output["NotificationConfig"][name]["Fn::ImportValue"] for name in ("SuccessTopic", "ErrorTopic")}
    ids = {id for id in default.resources("AWS::SNS::Topic", "EaselStorage") if id.startswith("Results")}
    assert {next(id for id in ids if id in topic) for topic in topics} == ids
    assert len(ids) == 2


def test_realtime_requests_go_to_the_least_busy_instance(realtime: Assembly) -> None:
    (variant,) = realtime.only(CONFIG)["ProductionVariants"]
    assert variant["RoutingConfig"] == {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"}
    assert "AsyncInferenceConfig" not in realtime.only(CONFIG)


def test_the_outputs_have_the_model_and_its_prices(default: Assembly, realtime: Assembly) -> None:
    async_, realtime_ = default.outputs("EaselModel"), realtime.outputs("EaselModel")
    assert async_["Model"] == "tiny"
    assert async_["PriceWarm"] == price(["ml.g4dn.xlarge"], 1)
    assert async_["PriceIdle"] == price(["ml.g4dn.xlarge"], 0)
    assert realtime_["PriceIdle"] == price(["ml.m5.large"], 1)
    assert async_["EndpointName"] == default.only(ENDPOINT)["EndpointName"]


@pytest.mark.parametrize(
    ("pool", "count", "values"),
    [
        (["ml.g4dn.xlarge"], 0, ["0 USD per hour"]),
        (["ml.m5.large"], 1, ["0.115 USD per hour", "1 x ml.m5.large", "us-east-1", "2026-11"]),
        (["ml.g6.xlarge", "ml.g4dn.xlarge"], 1, ["1.127 USD per hour", "0.7364 USD per hour", "1 x ml.g6.xlarge"]),
    ],
)
def test_a_price_has_the_sum_and_the_instances(pool: list[str], count: int, values: list[str]) -> None:
    text = price(pool, count)
    assert all(value in text for value in values)


def test_a_price_that_is_not_known_has_the_address_of_the_price_list() -> None:
    text = price(["ml.p5.48xlarge"], 1)
    assert "USD" not in text
    assert "1 x ml.p5.48xlarge" in text
    assert "https://aws.amazon.com/sagemaker/ai/pricing/" in text
    assert all(usd > 0 for usd in USD_PER_HOUR.values())
