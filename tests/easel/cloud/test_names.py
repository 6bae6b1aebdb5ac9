"""The cloud commands for one of several Easels: `--name`, EASEL_NAME, `-c name=` and cdk.json."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
from typer.testing import CliRunner, Result

from easel.cli import app
from easel.cloud.doctor import run as run_module
from easel.cloud.doctor.plan import read_names, read_plan
from easel.cloud.doctor.run import Doctor
from easel.cloud.leftovers.resource_types import RESOURCE_TYPES
from easel.cloud.leftovers.scan import belongs_to_easel
from easel.console.errors import ENVIRONMENT, FAILED, USAGE
from stacks.config.names import DEFAULT, Names
from tests.easel.cloud.fake_aws import REGION, FakeAws, client_error
from tests.easel.cloud.fake_deployment import FakeDeployment, healthy_deployment, stack
from tests.easel.running import ROOT

DEV = Names("easel-dev")
ROWS = {row.code: row for row in RESOURCE_TYPES}
Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command against a fake AWS."""
    monkeypatch.setenv("AWS_REGION", REGION)

    def invoke(aws: FakeAws, *arguments: str, **variables: str) -> Result:
        monkeypatch.setattr(boto3, "Session", lambda **_: aws.session)
        return CliRunner().invoke(app, arguments, env=variables)

    return invoke


def not_deployed() -> FakeAws:
    missing = client_error("ValidationError", "Stack does not exist")
    return FakeAws(**{"cloudformation.DescribeStacks": missing})


@pytest.mark.parametrize(("arguments", "variables"), [(["--name", "easel-dev"], {}), ([], {"EASEL_NAME": "easel-dev"})])
def test_pause_names_the_easel_in_its_error(run: Run, arguments: list[str], variables: dict[str, str]) -> None:
    aws = not_deployed()
    result = run(aws, "pause", *arguments, **variables)
    assert result.exit_code == FAILED
    assert aws.calls("cloudformation.DescribeStacks") == [{"StackName": "EaselDevModel"}]
    assert "there is no stack EaselDevModel" in result.stderr
    assert "npx cdk deploy -c name=easel-dev --all, or another --region" in result.stderr


def test_resume_prints_commands_with_the_name(run: Run) -> None:
    aws = FakeDeployment("gone")
    result = run(aws, "pause", "--name", "easel-dev")
    assert result.exit_code == 0, result.output
    assert "easel resume --name easel-dev" in result.stdout


def test_outputs_reads_only_the_stacks_of_the_name(run: Run) -> None:
    outputs = [{"OutputKey": "ApiUrl", "OutputValue": "https://dev.example/"}]
    other = [{"OutputKey": "ApiUrl", "OutputValue": "https://other.example/"}]
    stacks = [{**stack("CREATE_COMPLETE", "EaselApi"), "Outputs": other}]
    aws = FakeAws(**{"cloudformation.DescribeStacks": {"Stacks": stacks}})
    result = run(aws, "outputs", "--name", "easel-dev")
    assert result.exit_code == ENVIRONMENT
    stacks += [{**stack("CREATE_COMPLETE", "EaselDevApi"), "Outputs": outputs}]
    result = run(aws, "outputs", "--name", "easel-dev", "--json")
    assert json.loads(result.stdout) == {"ApiUrl": "https://dev.example/"}


def test_an_invalid_name_is_a_usage_error(run: Run) -> None:
    for command in ("doctor", "outputs", "leftovers", "pause", "resume"):
        assert run(FakeAws(), command, "--name", "Easel Dev").exit_code == USAGE


def test_cdk_json_names_the_easel(tmp_path: Path) -> None:
    (tmp_path / "cdk.json").write_text('{"context": {"name": "easel-dev", "model": "no-such-model"}}')
    assert read_names(None, tmp_path) == DEV
    assert read_names("easel-2", tmp_path) == Names("easel-2")
    assert read_plan(["name=easel-3"], tmp_path).settings.names == Names("easel-3")


def test_the_doctor_writes_name_and_options_into_its_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, aws = read_plan(["model=emoji", "name=easel-dev"], ROOT), healthy_deployment()
    stacks = [stack("CREATE_COMPLETE", "EaselModel"), stack("ROLLBACK_COMPLETE", "EaselDevModel")]
    aws.responses |= {
        "cloudformation.DescribeStacks": {"Stacks": stacks},
        "cloudformation.DescribeStackEvents": {"StackEvents": []},
    }
    monkeypatch.setattr(run_module, "open_account", lambda region, names: aws.account(region, names))
    stacks_result = next(result for result in Doctor(plan, ROOT).results(REGION) if result.code == "stacks")
    assert "EaselDevModel is ROLLBACK_COMPLETE" in stacks_result.message
    assert stacks_result.remedy == (
        "npx cdk destroy -c name=easel-dev -c model=emoji EaselDevModel, then "
        "npx cdk deploy -c name=easel-dev -c model=emoji --all"
    )


@pytest.mark.parametrize("owner", ["easel", "easel-dev"])
def test_a_tag_decides_whose_a_resource_is(owner: str) -> None:
    """Names in lower case may be those of either: easel-dev and easeldev."""
    tagged = {"arn:aws:s3:::easeldevstorage-store1d2a845b-x": owner}
    bucket = {"Name": "easeldevstorage-store1d2a845b-x"}
    assert belongs_to_easel(ROWS["bucket"], bucket, tagged, DEV) is (owner == "easel-dev")
    assert belongs_to_easel(ROWS["bucket"], bucket, tagged, DEFAULT) is (owner == "easel")
    assert belongs_to_easel(ROWS["bucket"], bucket, {}, Names("easeldev"))
    assert not belongs_to_easel(ROWS["bucket"], bucket, {}, DEFAULT)


@pytest.mark.parametrize(
    ("code", "item"),
    [
        ("stack", {"StackName": "EaselDevModel", "StackId": "s"}),
        ("endpoint", {"EndpointName": "easel-dev-async0a1b2c", "EndpointArn": "a"}),
        ("log_group", {"logGroupName": "/easel/EaselDevModel/import", "arn": "a"}),
        ("log_group", {"logGroupName": "/aws/sagemaker/Endpoints/easel-dev-notebook-0a1b2c3d", "arn": "a"}),
        ("role", {"RoleName": "EaselDevModel-EndpointRole-x", "Arn": "a"}),
        ("budget", {"BudgetName": "EaselDevBudget-us-east-1"}),
        ("dashboard", {"DashboardName": "EaselDevApi-us-east-1", "DashboardArn": "a"}),
        ("distribution", {"Id": "E1", "ARN": "a", "Comment": "EaselDev"}),
        ("api_key", {"id": "k", "name": "EaselD-Gatew-1A2B3C4D5E6F"}),
    ],
)
def test_resources_are_those_of_one_easel(code: str, item: dict[str, str]) -> None:
    assert belongs_to_easel(ROWS[code], item, {}, DEV)
    for other in (DEFAULT, Names("easel-2"), Names("dev")):
        assert not belongs_to_easel(ROWS[code], item, {}, other)
