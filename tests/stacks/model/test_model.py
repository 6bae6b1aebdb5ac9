"""Release, endpoint and scaling."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk import aws_s3 as s3

from stacks.config import images
from stacks.config.catalogue import CatalogueError, read_model
from stacks.config.prices import USD_PER_HOUR, price
from stacks.config.settings import Settings
from stacks.model.release.release import Release
from tests.parity.__main__ import RECORD
from tests.stacks.assembly import ENTRY, FOLDER, Assembly, synthesise, write_files

CONFIG, POLICY = "AWS::SageMaker::EndpointConfig", "AWS::ApplicationAutoScaling::ScalingPolicy"


def released(folder: Path, files: dict[str, str]) -> str:
    """The prefix that a release of `folder/weights` and `folder/code` with such files goes to."""
    write_files(folder, files)
    app = cdk.App(outdir=str(folder / "out"))
    stack = cdk.Stack(app, "S")
    bucket = s3.Bucket(stack, "B")
    (folder / "weights.json").write_text(
        json.dumps({**ENTRY, "id": "weights", "source": {"kind": "folder", "path": "weights"}})
    )
    model = read_model(str(folder / "weights"), folder)
    Release(stack, "R", settings=Settings(), bucket=bucket, model=model, code=folder / "code")
    template = app.synth().get_stack_by_name("S").template
    (resource,) = (r for r in template["Resources"].values() if r["Type"] == "Custom::EaselRelease")
    return str(resource["Properties"]["Prefix"])


def test_a_release_is_named_by_its_content(tmp_path: Path) -> None:
    files = {**{f"weights/{name}": text for name, text in FOLDER.items()}, "code/inference.py": "a = 1"}
    beside = {
        "weights/README.md": "x",
        "weights/unet/diffusion_pytorch_model.bin": "x",
        "weights/unet/evil.py": "x",
        "code/__pycache__/inference.cpython-312.pyc": "x",
        "code/.mypy_cache/x.json": "x",
    }
    first = released(tmp_path / "first", files)
    assert released(tmp_path / "beside", {**files, **beside}) == first
    (staged,) = (path.parent for path in (tmp_path / "beside/out").rglob("model_index.json"))
    assert {path.relative_to(staged).as_posix() for path in staged.rglob("*") if path.is_file()} == {*FOLDER}
    code = released(tmp_path / "code", {**files, "code/inference.py": "a = 2"})
    weights = released(tmp_path / "weights", {**files, "weights/unet/config.json": "{ }"})
    odd = released(tmp_path / "odd", {**files, "weights/unet/*[a] !.json": "{}"})
    assert len({first, code, weights, odd}) == 4
    (tmp_path / "first/weights/unet/link.json").symlink_to("config.json")
    with pytest.raises(CatalogueError, match="symbolic link"):
        released(tmp_path / "first", {})


def test_the_model_is_the_release_uncompressed_in_a_container_without_network(default: Assembly) -> None:
    model = default.only("AWS::SageMaker::Model")
    assert model["EnableNetworkIsolation"] is True
    source = model["PrimaryContainer"]["ModelDataSource"]["S3DataSource"]
    (release,) = default.resources("Custom::EaselRelease")
    assert source == {
        "CompressionType": "None",
        "S3DataType": "S3Prefix",
        "S3Uri": {"Fn::GetAtt": [release, "Uri"]},
    }


def test_a_release_that_hangs_ends(default: Assembly) -> None:
    release = default.only("Custom::EaselRelease")
    assert release["ServiceTimeout"] == "960"
    assert release["Prefix"].startswith("releases/")
    assert release["Prefix"].endswith("/")
    assert [part["Below"] for part in release["Parts"]] == ["", "code/"]


@pytest.mark.parametrize(("mode", "seconds", "threads"), [("default", "960", "4"), ("realtime", "900", "2")])
def test_the_container_is_told_what_it_needs(
    mode: str, seconds: str, threads: str, request: pytest.FixtureRequest
) -> None:
    assembly: Assembly = request.getfixturevalue(mode)
    environment = dict(assembly.only("AWS::SageMaker::Model")["PrimaryContainer"]["Environment"])
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


def test_these_variables_are_those_that_parity_was_run_with(default: Assembly) -> None:
    """tests/parity; the profile, and what depends on the instance type, are another model's here."""
    ran = json.loads(RECORD.read_text())["variables"]
    now = default.only("AWS::SageMaker::Model")["PrimaryContainer"]["Environment"]
    other = dict.fromkeys(("EASEL_MODEL_PROFILE", "OMP_NUM_THREADS"))
    assert ran | other == now | other


def test_a_gpu_gets_the_gpu_image_and_its_driver(default: Assembly) -> None:
    (variant,) = default.only(CONFIG)["ProductionVariants"]
    assert variant["InstanceType"] == "ml.g4dn.xlarge"
    assert variant["InferenceAmiVersion"] == "al2-ami-sagemaker-inference-gpu-3-1"
    image = default.only("AWS::SageMaker::Model")["PrimaryContainer"]["Image"]
    assert image["Fn::Join"][1][-1].endswith(images.GPU_TAG)
    (table,) = default.templates["EaselModel"]["Mappings"].values()
    assert {region: row["account"] for region, row in table.items()} == images.ACCOUNTS


def test_a_cpu_gets_the_cpu_image_of_its_region(realtime: Assembly) -> None:
    (variant,) = realtime.only(CONFIG)["ProductionVariants"]
    assert "InferenceAmiVersion" not in variant
    image = realtime.only("AWS::SageMaker::Model")["PrimaryContainer"]["Image"]
    host, _, rest = image["Fn::Join"][1]
    assert (host, rest) == ("763104351884.dkr.ecr.eu-west-1.", f"/{images.REPOSITORY}:{images.CPU_TAG}")


def test_fallbacks_take_the_place_of_the_type(cloud9: Assembly) -> None:
    """SageMaker refuses both in one variant."""
    (variant,) = cloud9.only(CONFIG)["ProductionVariants"]
    assert variant["InstancePools"] == [
        {"InstanceType": "ml.g6.xlarge", "Priority": 1},
        {"InstanceType": "ml.g4dn.xlarge", "Priority": 2},
    ]
    assert variant["VariantInstanceProvisionTimeoutInSeconds"] == 1800
    assert "InstanceType" not in variant
    assert variant["InferenceAmiVersion"] == images.GPU_AMI
    assert cloud9.outputs("EaselModel")["PriceWarm"] == (
        "about 1.127 USD per hour for 1 x ml.g6.xlarge, or about 0.7364 USD per hour for 1 x ml.g4dn.xlarge "
        "(us-east-1, 2026-11; see https://aws.amazon.com/sagemaker/ai/pricing/)"
    )
    kind = sha256(b"ml.g6.xlarge,ml.g4dn.xlarge").hexdigest()[:6]
    assert f"Async{kind}" in next(iter(cloud9.resources("AWS::SageMaker::Endpoint")))


def test_china_has_an_account_of_its_own(china: Assembly) -> None:
    assert "727897471807.dkr.ecr.cn-north-1." in json.dumps(china.only("AWS::SageMaker::Model"))


def test_a_region_of_govcloud_has_one_too(gov: Assembly) -> None:
    assert "442386744353.dkr.ecr.us-gov-west-1." in json.dumps(gov.only("AWS::SageMaker::Model"))


@pytest.mark.parametrize("family", ["g4dn", "g5", "g6", "g6e", "p4d", "p5"])
def test_families_with_a_card(family: str) -> None:
    assert images.has_gpu(f"ml.{family}.xlarge")


@pytest.mark.parametrize("family", ["m5", "c7i", "t2", "inf2", "r6gd", "trn1"])
def test_families_without_an_nvidia_card(family: str) -> None:
    assert not images.has_gpu(f"ml.{family}.xlarge")


def test_a_start_that_fails_is_bounded(each: Assembly) -> None:
    (variant,) = each.only(CONFIG)["ProductionVariants"]
    assert variant["ContainerStartupHealthCheckTimeoutInSeconds"] == 900
    assert variant["ModelDataDownloadTimeoutInSeconds"] == 1800


def test_the_role_goes_after_the_endpoint(each: Assembly) -> None:
    (endpoint,) = each.resources("AWS::SageMaker::Endpoint").values()
    (role,) = (id for id in each.resources("AWS::IAM::Role", "EaselModel") if id.startswith("EndpointRole"))
    (policy,) = (id for id in each.resources("AWS::IAM::Policy", "EaselModel") if id.startswith("EndpointRole"))
    (logs,) = (id for id in each.resources("AWS::Logs::LogGroup", "EaselModel") if id.startswith("EndpointLogs"))
    assert {role, policy, logs} <= set(endpoint["DependsOn"])


def test_an_update_starts_an_instance_in_async_mode_and_keeps_them_in_realtime(
    default: Assembly, realtime: Assembly
) -> None:
    assert "RetainAllVariantProperties" not in default.only("AWS::SageMaker::Endpoint")
    assert realtime.only("AWS::SageMaker::Endpoint")["RetainAllVariantProperties"] is True


def test_another_mode_or_instance_type_is_another_endpoint(default: Assembly, realtime: Assembly) -> None:
    """SageMaker changes neither on an endpoint that scales."""
    (first,), (second,) = (each.resources("AWS::SageMaker::Endpoint") for each in (default, realtime))
    kind = sha256(b"ml.g4dn.xlarge").hexdigest()[:6]
    assert f"Async{kind}" in first
    assert first != second
    assert f"easel-async{kind}" in default.only("AWS::SageMaker::Endpoint")["EndpointName"]["Fn::Join"][1][0]


@pytest.mark.parametrize("mode", ["async", "realtime"])
def test_the_endpoint_can_be_away_while_all_else_stays(tmp_path: Path, catalogue: Path, mode: str) -> None:
    """So that the old goes before the new comes. What is left keeps its logical ids: nothing else is made anew."""
    there, away = (
        synthesise(tmp_path / switch, catalogue, {"mode": mode, "endpoint": switch, "site": "off"}, None)
        for switch in ("on", "off")
    )
    ids = [{id: one["Type"] for id, one in each.templates["EaselModel"]["Resources"].items()} for each in (there, away)]
    assert ids[1].items() <= ids[0].items()
    gone = {kind for id, kind in ids[0].items() if id not in ids[1]}
    assert {"AWS::SageMaker::Endpoint", "AWS::ApplicationAutoScaling::ScalableTarget", POLICY} <= gone
    assert {"AWS::SageMaker::Model", CONFIG, "AWS::S3::Bucket"}.isdisjoint(gone)
    assert there.templates["EaselStorage"] == away.templates["EaselStorage"]
    outputs = away.outputs("EaselModel")
    assert outputs["PriceWarm"] == outputs["PriceIdle"] == price(["ml.m5.large"], 0)
    name = there.only("AWS::SageMaker::Endpoint")["EndpointName"]
    assert outputs["EndpointName"] == name
    told = {"Fn::GetStackOutput": {"StackName": "EaselModel", "OutputName": "EndpointName"}}
    functions = away.resources("AWS::Lambda::Function", "EaselApi").values()
    variables = [one["Properties"].get("Environment", {}).get("Variables", {}) for one in functions]
    assert told in [one.get("EASEL_ENDPOINT") for one in variables]
    assert away.lint() == []
    assert json.loads((away.folder / "validation-report.json").read_text())["pluginReports"] == []


def test_async_tells_of_every_end(default: Assembly) -> None:
    asynchronous = default.only(CONFIG)["AsyncInferenceConfig"]
    assert asynchronous["ClientConfig"] == {"MaxConcurrentInvocationsPerInstance": 1}
    output = asynchronous["OutputConfig"]
    assert output["S3OutputPath"]["Fn::Join"][1][-1] == "/answers"
    assert output["S3FailurePath"]["Fn::Join"][1][-1] == "/failures"
    topics = {output["NotificationConfig"][name]["Ref"] for name in ("SuccessTopic", "ErrorTopic")}
    assert topics == {id for id in default.resources("AWS::SNS::Topic") if id.startswith("EndpointAnswers")}
    assert len(topics) == 2


def test_async_wakes_and_sleeps_by_two_policies(default: Assembly) -> None:
    target = default.only("AWS::ApplicationAutoScaling::ScalableTarget")
    assert (target["MinCapacity"], target["MaxCapacity"]) == (0, 1)
    policies = {p["Properties"]["PolicyType"]: p["Properties"] for p in default.resources(POLICY).values()}
    (endpoint,) = default.resources("AWS::SageMaker::Endpoint")
    name = {"Fn::GetAtt": [endpoint, "EndpointName"]}

    tracking = policies["TargetTrackingScaling"]["TargetTrackingScalingPolicyConfiguration"]
    metric = tracking["CustomizedMetricSpecification"]
    assert (metric["Namespace"], metric["MetricName"]) == ("AWS/SageMaker", "ApproximateBacklogSizePerInstance")
    assert metric["Dimensions"] == [{"Name": "EndpointName", "Value": name}]

    step = policies["StepScaling"]["StepScalingPolicyConfiguration"]
    assert step["AdjustmentType"] == "ChangeInCapacity"
    assert step["StepAdjustments"] == [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}]
    alarm = default.only("AWS::CloudWatch::Alarm", "EaselModel")
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/SageMaker", "HasBacklogWithoutCapacity")
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (1, "GreaterThanOrEqualToThreshold")
    assert alarm["Dimensions"] == [{"Name": "EndpointName", "Value": name}]
    assert alarm["AlarmActions"] == [{"Ref": next(id for id in default.resources(POLICY) if "Wake" in id)}]


def test_realtime_follows_concurrent_calls(realtime: Assembly) -> None:
    target = realtime.only("AWS::ApplicationAutoScaling::ScalableTarget")
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 3)
    tracking = realtime.only(POLICY)["TargetTrackingScalingPolicyConfiguration"]
    metric = tracking["PredefinedMetricSpecification"]["PredefinedMetricType"]
    assert metric == "SageMakerVariantConcurrentRequestsPerModelHighResolution"
    (variant,) = realtime.only(CONFIG)["ProductionVariants"]
    assert variant["RoutingConfig"] == {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"}
    assert "AsyncInferenceConfig" not in realtime.only(CONFIG)


def test_another_mode_is_another_endpoint(default: Assembly, realtime: Assembly) -> None:
    kind = "AWS::SageMaker::Endpoint"
    assert set(default.resources(kind)).isdisjoint(realtime.resources(kind))


def test_the_outputs_say_what_runs_and_what_it_costs(default: Assembly, realtime: Assembly) -> None:
    asleep, warm = default.outputs("EaselModel"), realtime.outputs("EaselModel")
    assert asleep["Model"] == "tiny"
    assert asleep["PriceWarm"].startswith("about 0.7364 USD per hour for 1 x ml.g4dn.xlarge (us-east-1, 2026-11")
    assert asleep["PriceIdle"].startswith("0 USD per hour")
    assert warm["PriceIdle"].startswith("about 0.115 USD per hour for 1 x ml.m5.large")
    (endpoint,) = default.resources("AWS::SageMaker::Endpoint")
    assert asleep["EndpointName"] == {"Fn::GetAtt": [endpoint, "EndpointName"]}


def test_an_instance_without_a_known_price_says_where_to_look() -> None:
    where = "(us-east-1, 2026-11; see https://aws.amazon.com/sagemaker/ai/pricing/)"
    assert price(["ml.p5.48xlarge"], 1) == f"a price that is not in our table for 1 x ml.p5.48xlarge {where}"
    assert all(usd > 0 for usd in USD_PER_HOUR.values())
