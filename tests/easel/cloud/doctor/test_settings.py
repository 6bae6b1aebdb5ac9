"""Checks of the settings, and how the plan reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from easel.cloud.doctor import settings as checks
from easel.cloud.doctor.plan import Plan, read_plan
from easel.console.errors import USAGE, CommandError
from tests.easel.cloud.doctor.results import assert_result
from tests.easel.cloud.doctor.test_model import with_model
from tests.easel.cloud.fake_aws import ACCOUNT, REGION, FakeAws
from tests.easel.cloud.fake_deployment import NOW, healthy_deployment, resources, stack
from tests.easel.running import ROOT

KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/mrk-0123456789abcdef0123456789abcdef"
OTHER_KEY = KEY.replace("mrk-0", "mrk-1")


def test_the_plan_reads_cdk_json_and_context() -> None:
    plan = read_plan(["mode=realtime", "model=sdxl"], ROOT)
    assert (plan.settings.mode, plan.instance_type) == ("realtime", "ml.g4dn.xlarge")


def test_a_setting_of_the_home_folder_is_refused_as_in_a_deploy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = read_plan([], ROOT).settings
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".cdk.json").write_text('{"context": {"foreign": 1}}')
    assert read_plan([], ROOT).settings == without
    (tmp_path / ".cdk.json").write_text('{"context": {"result_days": 3}}')
    with pytest.raises(CommandError) as caught:
        read_plan([], ROOT)
    assert (caught.value.code, "~/.cdk.json" in caught.value.why) == (USAGE, True)


@pytest.mark.parametrize("pair", ["modell=x", "mode"])
def test_an_invalid_setting_is_a_usage_error(pair: str) -> None:
    with pytest.raises(CommandError) as caught:
        read_plan([pair], ROOT)
    assert caught.value.code == USAGE


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"context": {"model": "emoji",}}', "Expecting property name"),
        ("[]", "cdk.json"),
        ('{"context": ["model"]}', "['model']"),
    ],
)
def test_an_unreadable_cdk_json_is_a_usage_error(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "cdk.json").write_text(text)
    with pytest.raises(CommandError, match="setting") as caught:
        read_plan([], tmp_path)
    assert (caught.value.code, why in caught.value.why) == (USAGE, True)


@pytest.mark.parametrize(
    ("settings", "region", "message"),
    [
        (["site=on"], "us-gov-west-1", ["site", "CloudFront"]),
        ([], "mx-central-1", ["mx-central-1"]),
        ([f"kms_key_arn={KEY}"], "us-east-1", ["kms_key_arn", REGION, "us-east-1"]),
    ],
)
def test_settings_that_synthesis_refuses(settings: list[str], region: str, message: list[str]) -> None:
    plan = read_plan(["model=emoji", *settings], ROOT)
    assert_result(checks.settings.run(FakeAws().account(region), plan), "failed", *message)


def test_a_model_that_the_serving_image_cannot_load(plan: Plan) -> None:
    account = FakeAws().account()
    assert checks.settings.run(account, plan) is None
    assert_result(checks.settings.run(account, with_model(plan, diffusers="0.42.0")), "failed", "emoji", "0.42.0")


@pytest.mark.parametrize(
    ("model", "endpoint", "message", "remedy"),
    [
        ("emoji", "easel-async0a1b2c-1", [], ""),
        ("sdxl", "easel-async0a1b2c-1", ["sdxl", "emoji"], "-c model=sdxl"),
        ("sd-1.5", "easel-realtime0a1b2c-1", ["sd-1.5", "emoji", "realtime", "async"],
         "-c model=sd-1.5 -c mode=realtime"),
    ],
)  # fmt: skip
def test_a_deploy_that_changes_model_or_mode_is_listed(
    plan: Plan, model: str, endpoint: str, message: list[str], remedy: str
) -> None:
    aws = healthy_deployment()
    outputs = [
        {"OutputKey": key, "OutputValue": value} for key, value in (("Model", model), ("EndpointName", endpoint))
    ]
    aws.responses["cloudformation.DescribeStacks"] = {"Stacks": [{**stack("UPDATE_COMPLETE"), "Outputs": outputs}]}
    result = checks.settings_change.run(aws.account(), plan)
    if message:
        assert_result(result, "ok", *message, remedy=remedy)
    else:
        assert result is None


def deployed_bucket(key: str) -> dict[str, Any]:
    """Return responses about a deployed bucket that is encrypted with a KMS key, or with S3's if `key` is empty."""
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key} if key else {"SSEAlgorithm": "AES256"}
    rules = [{"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": bool(key)}]
    bucket = {
        "LogicalResourceId": "Store1D2A845B",
        "PhysicalResourceId": "easelstorage-store1d2a845b-x",
        "ResourceType": "AWS::S3::Bucket",
        "ResourceStatus": "CREATE_COMPLETE",
        "LastUpdatedTimestamp": NOW,
    }
    return {
        "cloudformation.ListStackResources": {"StackResourceSummaries": [*resources(), bucket]},
        "s3.GetBucketEncryption": {"ServerSideEncryptionConfiguration": {"Rules": rules}},
    }


@pytest.mark.parametrize(
    ("used", "configured", "status"),
    [(KEY, "", "failed"), (KEY, OTHER_KEY, "failed"), (KEY, KEY, None), ("", KEY, None), ("", "", None)],
)
def test_a_deploy_that_removes_the_key_of_the_bucket(used: str, configured: str, status: Any) -> None:
    aws = healthy_deployment()
    aws.responses |= deployed_bucket(used)
    plan = read_plan(["model=emoji", f"kms_key_arn={configured}"], ROOT)
    result = checks.encryption.run(aws.account(), plan)
    if status:
        assert_result(result, status, KEY, configured, remedy=f"-c kms_key_arn={KEY}")
    else:
        assert result is None
    assert aws.calls("s3.GetBucketEncryption") == [{"Bucket": "easelstorage-store1d2a845b-x"}]
