"""`easel leftovers` in an account that moto keeps, and before an AWS that refuses to be looked at."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from typer.testing import CliRunner

from easel.cli import app as cli
from easel.cloud.account import Account
from easel.cloud.leftovers.resource_types import KINDS
from easel.cloud.leftovers.scan import Found, Leftover, _of_kind, _ours, look, report
from easel.console.terminal import Terminal
from stacks.config.prices import USD_PER_HOUR
from tests.easel.cloud.fake_aws import REGION, Done, FakeAws, refusal
from tests.easel.cloud.test_pause import NOW

TAGS = [{"Key": "easel:app", "Value": "easel"}]
ENDPOINT = "easel-realtime0a1b2c-0123"


STACK = {"StackName": "EaselApi", "StackId": "s", "StackStatus": "DELETE_FAILED", "CreationTime": NOW}
BESIDE: dict[str, dict[str, Any]] = {
    "DescribeStacks": {"Stacks": []},
    "GetRestApis": {"items": []},
    "GetApiKeys": {"items": []},
    "GetDomainNames": {"items": []},
    "GetUsagePlans": {"items": []},
}
"""What CloudFormation and API Gateway answer; moto's own need packages that nothing else here does."""


@pytest.fixture
def account() -> Iterator[Account]:
    """Empty, and without a network."""
    with mock_aws():
        session = FakeAws.plain_session()
        for service in ("cloudformation", "api-gateway"):
            session.events.register(f"before-call.{service}.*", lambda model, **_: (Done(), BESIDE[model.name]))
        yield Account(session, REGION)


def found(account: Account) -> dict[str, Leftover]:
    """By type; nothing may be left unseen."""
    seen = look(account, [REGION], Terminal())
    assert not seen.unseen
    return {one.type: one for one in seen.left}


def test_an_empty_account_has_nothing(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    seen = look(account, [REGION], Terminal())
    assert (seen.left, seen.unseen) == ([], [])
    assert report(seen, as_json=False) == 0
    assert capsys.readouterr().out == "Nothing of Easel's is left.\n"


def make_endpoint(account: Account) -> None:
    """By tag and by name; SageMaker's names of models and configurations do not tell whose they are."""
    client = account.client("sagemaker")
    role = "arn:aws:iam::123456789012:role/EaselModel-Role-x"
    image = {"Image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/i:1"}
    client.create_model(ModelName="EndpointModel-x", ExecutionRoleArn=role, PrimaryContainer=image, Tags=TAGS)
    variant = {"VariantName": "AllTraffic", "ModelName": "EndpointModel-x", "InstanceType": "ml.g4dn.xlarge"}
    variants = [{**variant, "InitialInstanceCount": 2, "InitialVariantWeight": 1}]
    client.create_endpoint_config(
        EndpointConfigName="EaselModel-EndpointConfig-x", ProductionVariants=variants, Tags=TAGS
    )
    client.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName="EaselModel-EndpointConfig-x")


def make_everything(account: Account) -> None:
    """One of most kinds, and beside some of them another's."""
    make_endpoint(account)
    s3 = account.client("s3")
    for name in ("easelstorage-store1d2a845b-x", "easel-photos"):
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_object(Bucket=name, Key="a", Body=b"x" * 1000)
    for name in ("/aws/sagemaker/Endpoints/easel-async0a1b2c-1", "/aws/lambda/other"):
        account.client("logs").create_log_group(logGroupName=name)
    kms = account.client("kms")
    kms.create_key(Tags=[{"TagKey": "easel:app", "TagValue": "easel"}])
    kms.create_key()
    account.client("secretsmanager").create_secret(Name="EaselModel-Token-x", SecretString="x")
    cloudwatch = account.client("cloudwatch")
    rule = {"EvaluationPeriods": 1, "ComparisonOperator": "GreaterThanThreshold", "Threshold": 1, "Period": 60}
    metric = {"MetricName": "m", "Namespace": "n", "Statistic": "Sum"}
    for name in ("EaselApi-Errors-x", f"TargetTracking-endpoint/{ENDPOINT}/variant/AllTraffic-AlarmLow-1", "Other"):
        cloudwatch.put_metric_alarm(AlarmName=name, **rule, **metric)
    account.client("cloudwatch", "us-east-1").put_dashboard(DashboardName="EaselApi-Board-x", DashboardBody="{}")
    rate = {"RateBasedStatement": {"Limit": 100, "AggregateKeyType": "IP"}}
    shown = {"SampledRequestsEnabled": True, "CloudWatchMetricsEnabled": True, "MetricName": "m"}
    rule_of_acl = {"Name": "r", "Priority": 0, "Statement": rate, "Action": {"Block": {}}, "VisibilityConfig": shown}
    account.client("wafv2").create_web_acl(
        Name="FirewallAcl-x", Description="Easel", Scope="REGIONAL",
        DefaultAction={"Allow": {}}, VisibilityConfig=shown,
        Rules=[rule_of_acl, {**rule_of_acl, "Name": "s", "Priority": 1}],
    )  # fmt: skip
    account.client("sns").create_topic(Name="EaselModel-Success-x")
    account.client("sqs").create_queue(QueueName="EaselApi-Lost-x")
    account.client("sagemaker").create_notebook_instance(
        NotebookInstanceName="Notebook-x", InstanceType="ml.m5.xlarge", RoleArn="arn:aws:iam::123456789012:role/r",
        VolumeSizeInGB=20, Tags=TAGS,
    )  # fmt: skip


def test_everything_is_found_with_its_price(
    account: Account, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_everything(account)
    apis = [{"id": "a1", "name": "Api", "description": "Easel"}, {"id": "b2", "name": "x"}]
    monkeypatch.setitem(BESIDE, "GetRestApis", {"items": apis})
    seen = look(account, [REGION], Terminal())
    assert not seen.unseen
    told = {(one.type.removeprefix("AWS::"), one.name): one.usd_per_month for one in seen.left}
    known = {(kind, name.split(":")[-1].split("/")[-1]): usd for (kind, name), usd in told.items()}
    hour = USD_PER_HOUR
    expected = {
        ("SageMaker::Endpoint", ENDPOINT): pytest.approx(2 * 730 * hour["ml.g4dn.xlarge"]),
        ("SageMaker::EndpointConfig", "EaselModel-EndpointConfig-x"): 0,
        ("SageMaker::Model", "EndpointModel-x"): 0,
        ("SageMaker::NotebookInstance", "Notebook-x"): pytest.approx(730 * hour["ml.m5.xlarge"] + 20 * 0.14),
        ("S3::Bucket", "easelstorage-store1d2a845b-x"): pytest.approx(1000 / 1e9 * 0.023),
        ("Logs::LogGroup", "easel-async0a1b2c-1"): 0,
        ("SecretsManager::Secret", "EaselModel-Token-x"): 0.4,
        ("CloudWatch::Alarm", "EaselApi-Errors-x"): 0.1,
        ("CloudWatch::Alarm", "AllTraffic-AlarmLow-1"): 0.1,
        ("CloudWatch::Dashboard", "EaselApi-Board-x"): 3.0,
        ("WAFv2::WebACL", "FirewallAcl-x"): 7.0,
        ("SNS::Topic", "EaselModel-Success-x"): 0,
        ("SQS::Queue", "EaselApi-Lost-x"): 0,
    }
    by_id = {kind: usd for (kind, _), usd in known.items() if kind in ("KMS::Key", "ApiGateway::RestApi")}
    assert by_id == {"KMS::Key": 1.0, "ApiGateway::RestApi": 0}
    assert {key: usd for key, usd in known.items() if key[0] not in by_id} == expected
    assert len(seen.left) == len(expected) + 2
    assert report(seen, as_json=False) == 1
    said = capsys.readouterr().out
    total = 2 * 730 * hour["ml.g4dn.xlarge"] + 730 * hour["ml.m5.xlarge"] + 2.8 + 1 + 0.4 + 0.2 + 3 + 7
    assert f"15 left, about {total:.2f} USD a month without traffic, before free tiers (us-east-1, " in said
    assert f"aws sagemaker delete-endpoint --endpoint-name {ENDPOINT} --region {REGION}" in said
    assert said.index(ENDPOINT) < said.index("Notebook-x") < said.index("EaselApi-Board-x"), "the dearest first"


def test_what_is_removed_is_no_longer_found(account: Account) -> None:
    """Also where the tag still tells of it, as AWS's does for a while."""
    make_endpoint(account)
    assert "AWS::SageMaker::Endpoint" in found(account)
    account.client("sagemaker").delete_endpoint(EndpointName=ENDPOINT)
    assert "AWS::SageMaker::Endpoint" not in found(account)


def test_a_domain_is_ours_by_its_tag() -> None:
    (kind,) = (one for one in KINDS if one.type == "AWS::ApiGateway::DomainName")
    tagged = {"arn:aws:apigateway:eu-west-1::/domainnames/draw.example.com"}
    assert _ours(kind, {"domainName": "draw.example.com"}, tagged)
    assert not _ours(kind, {"domainName": "example.com"}, tagged)


def test_a_stack_is_removed_by_the_cdk(
    account: Account, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BESIDE, "DescribeStacks", {"Stacks": [STACK, {**STACK, "StackName": "Easelike"}]})
    assert "AWS::CloudFormation::Stack" in found(account)
    report(look(account, [REGION, "eu-north-1"], Terminal()), as_json=False)
    lines = capsys.readouterr().out.splitlines()
    commands = [line.partition("  (")[0].strip() for line in lines[lines.index("To remove them:") + 1 :]]
    assert commands == [f"AWS_REGION={region} npx cdk destroy --all" for region in (REGION, "eu-north-1")]


@pytest.mark.parametrize(
    ("type", "item"),
    [
        ("S3::Bucket", {"Name": "easelmodels-2024"}),
        ("S3::Bucket", {"Name": "easelapi-user-uploads"}),
        ("CloudFormation::Stack", {"StackName": "EaselApi-prod", "StackId": "s"}),
        ("CloudFormation::Stack", {"StackName": "EaselPainter", "StackId": "s"}),
        ("SecretsManager::Secret", {"Name": "EaselHubToken", "ARN": "a"}),
        ("Lambda::Function", {"FunctionName": "EaselPainter-Api", "FunctionArn": "a"}),
        ("Logs::LogGroup", {"logGroupName": "/aws/lambda/EaselPainter-Api", "arn": "a"}),
        ("IAM::Role", {"RoleName": "EaselAdmin", "Arn": "a"}),
        ("CloudFront::Distribution", {"Id": "E1", "ARN": "a", "Comment": "Easel Studio, the shop"}),
        ("ApiGateway::RestApi", {"id": "x", "description": "EaselPainter's API"}),
        ("ApiGateway::ApiKey", {"id": "x", "name": "EaselPainter"}),
    ],
)
def test_what_is_only_called_alike_is_not_ours(type: str, item: dict[str, str]) -> None:
    (kind,) = (one for one in KINDS if one.type == f"AWS::{type}")
    assert not _ours(kind, item, set())


@pytest.mark.parametrize("name", ["EaselA-Gatew-1A2B3C4D5E6F", "EaselApi-GatewayApiKey-x"])
def test_a_key_is_ours_by_its_name(name: str) -> None:
    (kind,) = (one for one in KINDS if one.type == "AWS::ApiGateway::ApiKey")
    assert _ours(kind, {"id": "x", "name": name}, set())


def test_what_has_no_price_is_told_of() -> None:
    """Above all an endpoint whose configuration somebody deleted: it goes on to be billed."""
    summary = {"EndpointArn": "a" * 20, "CreationTime": NOW, "LastModifiedTime": NOW, "EndpointStatus": "InService"}
    told, named = {**summary, "EndpointName": ENDPOINT}, {"EndpointConfigName": "c"}
    summaries = [{**summary, "EndpointName": name} for name in (ENDPOINT, f"{ENDPOINT}4")]
    aws = FakeAws(**{
        "sagemaker.ListEndpoints": {"Endpoints": summaries},
        "sagemaker.DescribeEndpoint": lambda of: told | (named if of["EndpointName"] == ENDPOINT else {}),
        "sagemaker.DescribeEndpointConfig": refusal("ValidationException", "Could not find endpoint configuration"),
    })  # fmt: skip
    (kind,) = (one for one in KINDS if one.type == "AWS::SageMaker::Endpoint")
    left = list(_of_kind(aws.account(), kind, REGION, REGION, set()))
    assert [(one.name, one.usd_per_month) for one in left] == [(ENDPOINT, None), (f"{ENDPOINT}4", None)]
    assert "Could not find endpoint configuration" in left[0].note
    assert left[1].note == "AWS does not tell its 'EndpointConfigName'"


def test_pages_that_boto3_does_not_know_are_turned() -> None:
    def page(asked: dict[str, str]) -> dict[str, Any]:
        last = asked.get("NextMarker") == "m"
        return {"WebACLs": [{"Name": "b" if last else "a"}], "NextMarker": "m"}

    aws = FakeAws(**{"wafv2.ListWebACLs": page})
    listed = aws.account().all("wafv2", "list_web_acls", "WebACLs", Scope="REGIONAL")
    assert [one["Name"] for one in listed] == ["a", "b"]


def test_what_is_global_may_be_needed_by_an_easel_elsewhere(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.client("cloudwatch", "us-east-1").put_dashboard(DashboardName="EaselApi-Board-x", DashboardBody="{}")
    assert report(look(account, [REGION], Terminal()), as_json=False) == 1
    said = capsys.readouterr().out
    assert "delete-dashboards" not in said
    assert "easel leftovers --all-regions" in said
    report(look(account, [REGION], Terminal(), all_regions=True), as_json=False)
    assert "aws cloudwatch delete-dashboards --dashboard-names EaselApi-Board-x" in capsys.readouterr().out


def test_govcloud_has_its_own_place_for_what_is_global() -> None:
    """Neither CloudFront nor budgets are there: asked for them, it could never prove that nothing is left."""
    aws = FakeAws(**{
        "resourcegroupstaggingapi.GetResources": {"ResourceTagMappingList": []},
        "cloudwatch.ListDashboards": {"DashboardEntries": []},
        "iam.ListRoles": {"Roles": []},
    })  # fmt: skip
    account = aws.account("us-gov-east-1")
    assert look(account, [], Terminal()) == Found()
    assert {region for _, region in account._clients} == {"us-gov-west-1"}


def test_a_region_that_is_named_twice_is_looked_at_once(account: Account) -> None:
    account.client("sns").create_topic(Name="EaselModel-Success-x")
    assert len(look(account, [REGION, REGION], Terminal()).left) == 1


def test_only_the_regions_asked_for(account: Account) -> None:
    account.client("sns", "eu-north-1").create_topic(Name="EaselModel-Success-x")
    assert not look(account, ["us-west-2"], Terminal()).left
    (topic,) = look(account, ["us-west-2", "eu-north-1"], Terminal()).left
    assert topic.region == "eu-north-1"


def test_all_regions_need_none_set(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setattr(boto3, "Session", lambda: account._session)
    account.client("sns", "eu-north-1").create_topic(Name="EaselModel-Success-x")
    regions = {"Regions": [{"RegionName": "eu-north-1"}]}
    account._session.events.register("before-call.ec2.DescribeRegions", lambda **_: (Done(), regions))
    done = CliRunner().invoke(cli, ["leftovers", "--all-regions", "--json"])
    assert [one["region"] for one in json.loads(done.stdout)["left"]] == ["eu-north-1"]
    refused = CliRunner().invoke(cli, ["leftovers"])
    assert (refused.exit_code, "No region is set" in refused.stderr) == (3, True)
    assert "3 no account or region to ask" in " ".join(CliRunner().invoke(cli, ["leftovers", "--help"]).stdout.split())


def test_what_could_not_be_looked_at_is_no_proof(capsys: pytest.CaptureFixture[str]) -> None:
    aws = FakeAws()
    aws.session.events.register_first("before-call.*.*", _refuse)
    seen = look(aws.account(), [REGION], Terminal())
    assert len(seen.unseen) == len(KINDS) + 2, "each kind, and the tags of each place"
    assert report(seen, as_json=False) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "Not looked at: global: tags: You may not call GetResources: no"
    assert said[-1] == "Nothing of Easel's was found."


def _refuse(model: Any, **_: Any) -> None:
    error = refusal("AccessDeniedException", "no")
    raise type(error)(error.response, model.name)


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    one = Leftover(region=REGION, type="AWS::KMS::Key", name="k", usd_per_month=1.0, note="", remove="…")
    nobody = Leftover(region=REGION, type="AWS::S3::Bucket", name="b", usd_per_month=None, note="", remove="…")
    assert report(Found([one, nobody]), as_json=True) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["usd_per_month"], [row["name"] for row in told["left"]]) == (1.0, ["k", "b"])
    assert report(Found([nobody]), as_json=False) == 1
    assert "        ?  b" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("counts", "usd", "note"),
    [
        ((1, 2), 730 * (USD_PER_HOUR["ml.g5.xlarge"] + 2 * USD_PER_HOUR["ml.g6.xlarge"]), "1 x ml.g5.xlarge, 2 x"),
        ((0, 0), 0, "0 x ml.g5.xlarge, 0 x ml.g6.xlarge"),
    ],
)
def test_an_endpoint_with_fallbacks_costs_what_each_type_does(counts: tuple[int, int], usd: float, note: str) -> None:
    names = ("ml.g5.xlarge", "ml.g6.xlarge")
    pools = [{"InstanceType": name, "Priority": i} for i, name in enumerate(names, 1)]
    running = [{"InstanceType": name, "CurrentInstanceCount": n} for name, n in zip(names, counts, strict=True) if n]
    variant = {"VariantName": "AllTraffic", "CurrentInstanceCount": sum(counts)}
    told = {"EndpointName": ENDPOINT, "EndpointArn": "a" * 20, "EndpointStatus": "InService", "CreationTime": NOW}
    config = {"EndpointConfigName": "c", "EndpointConfigArn": "a" * 20, "CreationTime": NOW}
    aws = FakeAws(**{
        "sagemaker.DescribeEndpoint": {
            **told, "LastModifiedTime": NOW, "EndpointConfigName": "c",
            "ProductionVariants": [{**variant, **({"InstancePools": running} if running else {})}],
        },
        "sagemaker.DescribeEndpointConfig": {
            **config, "ProductionVariants": [{"VariantName": "AllTraffic", "InstancePools": pools}]
        },
    })  # fmt: skip
    (kind,) = (one for one in KINDS if one.type == "AWS::SageMaker::Endpoint")
    found_usd, found_note = kind.price(aws.account(), REGION, {"EndpointName": ENDPOINT})
    assert found_usd == pytest.approx(usd)
    assert f"InService, {note}" in found_note
