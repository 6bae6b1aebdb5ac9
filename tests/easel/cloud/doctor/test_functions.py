"""Checks of the functions."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any
from zipfile import ZipFile, ZipInfo

import pytest

from easel.cloud.doctor.functions import api_endpoint, archives, keys, powertools, users
from easel.cloud.doctor.plan import read_plan
from easel.cloud.stack_state import DeployedEndpoint
from stacks.config.powertools import PARAMETER
from tests.easel.cloud.doctor.results import assert_result
from tests.easel.cloud.fake_aws import ACCOUNT, REGION, FakeAws, client_error
from tests.easel.cloud.fake_deployment import NOW, stack
from tests.easel.running import ROOT

BUCKET = f"cdk-hnb659fds-assets-{ACCOUNT}-{REGION}"
SUB = {"Fn::Sub": "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"}
LAYER = f"arn:aws:lambda:{REGION}:123456789012:layer:mine:3"
DEPLOYED = DeployedEndpoint(stack_status="UPDATE_COMPLETE", endpoint="easel-async0a1b2c", config="c")


def archive(mode: int) -> bytes:
    """Return a zip file with a readable file and one with this mode."""
    file = BytesIO()
    with ZipFile(file, "w") as opened:
        for name, file_mode in (("__init__.py", 0o644), ("handlers.py", mode)):
            info = ZipInfo(name)
            info.external_attr = (0o100000 | file_mode) << 16 if file_mode else 1  # 0 would become 0o600
            opened.writestr(info, "")
    return file.getvalue()


def deployed_functions(bucket: Any, body: Any, **variables: str) -> FakeAws:
    """Return an account whose API stack has a function with this archive and these variables."""
    code = {"S3Bucket": bucket, "S3Key": "0123.zip"}
    function = {"Type": "AWS::Lambda::Function", "Properties": {"Code": code, "Environment": {"Variables": variables}}}
    return FakeAws(**{
        "sts.GetCallerIdentity": {"Account": ACCOUNT, "Arn": f"arn:aws:iam::{ACCOUNT}:user/me"},
        "cloudformation.DescribeStacks": {"Stacks": [stack("CREATE_COMPLETE", "EaselApi")]},
        "cloudformation.GetTemplate": {"TemplateBody": json.dumps({"Resources": {"F": function}})},
        "s3.GetObject": body if not isinstance(body, bytes) else lambda _: {"Body": BytesIO(body)},
    })  # fmt: skip


@pytest.mark.parametrize("bucket", [BUCKET, SUB])
def test_an_archive_that_only_its_owner_may_read_fails(bucket: Any) -> None:
    result = archives.run(deployed_functions(bucket, archive(0o600)).account())
    assert_result(
        result, "failed", "handlers.py", f"s3://{BUCKET}/0123.zip", remedy=f"aws s3 rm s3://{BUCKET}/0123.zip"
    )


@pytest.mark.parametrize("mode", [0o644, 0o755, 0])
def test_an_archive_that_everybody_may_read_is_not_listed(mode: int) -> None:
    assert archives.run(deployed_functions(SUB, archive(mode)).account()) is None


@pytest.mark.parametrize("code", ["AccessDenied", "NoSuchKey"])
def test_an_archive_that_cannot_be_read_is_not_listed(code: str) -> None:
    assert archives.run(deployed_functions(SUB, client_error(code, "no")).account()) is None


def test_an_api_that_calls_another_endpoint_fails() -> None:
    """For example after `cdk deploy EaselModel` with another instance type."""
    aws = deployed_functions(SUB, b"", CALLED="arn:aws:sagemaker:us-east-1:1:endpoint/easel-async999999")
    result = api_endpoint.run(aws.account(), [DEPLOYED])
    assert_result(result, "failed", "easel-async999999", "easel-async0a1b2c", remedy="npx cdk deploy --all")


@pytest.mark.parametrize("variables", [{"CALLED": f"arn:aws:sagemaker:r:1:endpoint/{DEPLOYED.endpoint}"}, {}])
def test_an_api_that_calls_the_deployed_endpoint_is_not_listed(variables: dict[str, str]) -> None:
    assert api_endpoint.run(deployed_functions(SUB, b"", **variables).account(), [DEPLOYED]) is None


@pytest.mark.parametrize("exists", [True, False])
def test_a_table_that_somebody_deleted_fails(exists: bool) -> None:
    table = {
        "ResourceType": "AWS::DynamoDB::Table",
        "PhysicalResourceId": "EaselStorage-Accounts-1",
        "LogicalResourceId": "Accounts",
        "ResourceStatus": "CREATE_COMPLETE",
        "LastUpdatedTimestamp": NOW,
    }
    missing = client_error("ResourceNotFoundException", "Requested resource not found")
    aws = FakeAws(**{
        "cloudformation.DescribeStacks": {"Stacks": [stack("CREATE_COMPLETE", "EaselStorage")]},
        "cloudformation.ListStackResources": {"StackResourceSummaries": [table]},
        "dynamodb.DescribeTable": {"Table": {}} if exists else missing,
    })  # fmt: skip
    result = keys.run(aws.account())
    if exists:
        assert result is None
    else:
        assert_result(result, "failed", "EaselStorage-Accounts-1", remedy="npx cdk deploy EaselStorage --revert-drift")


def test_the_region_has_the_layers_parameter() -> None:
    requests: list[str] = []

    def respond(request: dict[str, str]) -> dict[str, Any]:
        requests.append(request["Name"])
        return {"Parameter": {}}

    aws = FakeAws(**{"ssm.GetParameter": respond})
    assert_result(powertools.run(aws.account(), read_plan((), ROOT)), "ok", REGION)
    assert requests == [PARAMETER]


def test_a_missing_parameter_names_the_setting() -> None:
    """The API stack would fail after the endpoint has started."""
    aws = FakeAws(**{"ssm.GetParameter": client_error("ParameterNotFound", "not found")})
    result = powertools.run(aws.account(), read_plan((), ROOT))
    assert_result(result, "failed", PARAMETER, REGION, remedy="-c powertools_layer=")


@pytest.mark.parametrize("exists", [True, False])
def test_the_layer_of_the_setting_exists(exists: bool) -> None:
    missing = client_error("ResourceNotFoundException", "The resource you requested does not exist.")
    aws = FakeAws(**{"lambda.GetLayerVersionByArn": {"LayerArn": LAYER} if exists else missing})
    result = powertools.run(aws.account(), read_plan([f"powertools_layer={LAYER}"], ROOT))
    assert_result(result, "ok" if exists else "failed", *([] if exists else [LAYER]))


# --- people who sign in --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "count", "status"),
    [("InviteCommand", 0, "failed"), ("InviteCommand", 3, "ok"), ("SignInRedirect", 0, "ok")],
)
def test_somebody_is_invited(output: str, count: int, status: Any) -> None:
    pool = {
        "ResourceType": "AWS::Cognito::UserPool", "PhysicalResourceId": "us-east-1_aB3", "LogicalResourceId": "Pool",
        "ResourceStatus": "CREATE_COMPLETE", "LastUpdatedTimestamp": NOW,
    }  # fmt: skip
    deployed = {**stack("CREATE_COMPLETE", "EaselUsers"), "Outputs": [{"OutputKey": output, "OutputValue": "x"}]}
    responses: dict[str, Any] = {
        "cloudformation.DescribeStacks": {"Stacks": [deployed]},
        "cloudformation.ListStackResources": {"StackResourceSummaries": [pool]},
        "cognito-idp.DescribeUserPool": {"UserPool": {"EstimatedNumberOfUsers": count}},
    }
    aws = FakeAws(**responses)
    remedy = "InviteCommand" if status == "failed" else ""
    assert_result(users.run(aws.account()), status, remedy=remedy)


def test_without_sign_in_nobody_has_to_be_invited() -> None:
    assert users.run(FakeAws(**{"cloudformation.DescribeStacks": {"Stacks": []}}).account()) is None
