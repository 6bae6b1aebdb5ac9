"""`easel leftovers` in an account simulated by moto, and with an AWS that refuses calls."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from typer.testing import CliRunner

from easel.cli import app
from easel.cloud.account import Account
from easel.cloud.leftovers.report import NOTHING_LEFT, print_scan
from easel.cloud.leftovers.resource_types import RESOURCE_TYPES, ResourceType
from easel.cloud.leftovers.scan import SCAN_ALL_REGIONS, Leftover, Scan, belongs_to_easel, find_leftovers, scan
from easel.console.terminal import Terminal
from stacks.config.names import DEFAULT
from stacks.config.prices import USD_PER_HOUR
from tests.easel.cloud.fake_aws import REGION, FakeAws, HttpResponse, client_error
from tests.easel.cloud.fake_deployment import NOW

TAGS = [{"Key": "easel:app", "Value": "easel"}]
ENDPOINT = "easel-realtime0a1b2c-0123"
STACK = {"StackName": "EaselApi", "StackId": "s", "StackStatus": "DELETE_FAILED", "CreationTime": NOW}
ROWS = {row.code: row for row in RESOURCE_TYPES}

RESPONSES: dict[str, dict[str, Any]] = {
    "DescribeStacks": {"Stacks": []},
    "GetRestApis": {"items": []},
    "GetApiKeys": {"items": []},
    "GetDomainNames": {"items": []},
    "GetUsagePlans": {"items": []},
    "ListUserPools": {"UserPools": []},
}
"""Responses of CloudFormation, API Gateway and Cognito; moto needs further packages to simulate them."""


@pytest.fixture
def account() -> Iterator[Account]:
    """An empty account, without network."""
    with mock_aws():
        session = FakeAws.plain_session()
        for service in ("cloudformation", "api-gateway", "cognito-identity-provider"):
            session.events.register(
                f"before-call.{service}.*", lambda model, **_: (HttpResponse(), RESPONSES[model.name])
            )
        yield Account(session, REGION)


def scan_region(account: Account, **options: bool) -> Scan:
    result = scan(account, [REGION], Terminal(), **options)
    assert result.errors == []
    return result


def codes(account: Account) -> set[str]:
    return {leftover.code for leftover in scan_region(account).leftovers}


def test_codes_are_unique() -> None:
    assert len(ROWS) == len(RESOURCE_TYPES)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in ROWS)


def test_an_empty_account_has_no_leftovers(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    result = scan_region(account)
    assert result.leftovers == []
    capsys.readouterr()
    assert print_scan(result, as_json=False) == 0
    assert capsys.readouterr().out == f"{NOTHING_LEFT}\n"


def create_endpoint(account: Account) -> None:
    """Create an endpoint with model and configuration, which are found by tag: their names do not identify them."""
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


def create_storage(account: Account) -> None:
    """Create buckets, log groups, keys and a secret; some belong to others."""
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


def create_monitoring(account: Account) -> None:
    """Create alarms and a dashboard; one alarm belongs to others."""
    cloudwatch = account.client("cloudwatch")
    rule = {"EvaluationPeriods": 1, "ComparisonOperator": "GreaterThanThreshold", "Threshold": 1, "Period": 60}
    metric = {"MetricName": "m", "Namespace": "n", "Statistic": "Sum"}
    for name in ("EaselApi-Errors-x", f"TargetTracking-endpoint/{ENDPOINT}/variant/AllTraffic-AlarmLow-1", "Other"):
        cloudwatch.put_metric_alarm(AlarmName=name, **rule, **metric)
    account.client("cloudwatch", "us-east-1").put_dashboard(DashboardName="EaselApi-Board-x", DashboardBody="{}")


def create_api_resources(account: Account) -> None:
    """Create a web ACL, a topic, a queue and a notebook."""
    rate = {"RateBasedStatement": {"Limit": 100, "AggregateKeyType": "IP"}}
    visibility = {"SampledRequestsEnabled": True, "CloudWatchMetricsEnabled": True, "MetricName": "m"}
    rule = {"Name": "r", "Priority": 0, "Statement": rate, "Action": {"Block": {}}, "VisibilityConfig": visibility}
    account.client("wafv2").create_web_acl(
        Name="FirewallAcl-x", Description="Easel", Scope="REGIONAL",
        DefaultAction={"Allow": {}}, VisibilityConfig=visibility,
        Rules=[rule, {**rule, "Name": "s", "Priority": 1}],
    )  # fmt: skip
    account.client("sns").create_topic(Name="EaselModel-Success-x")
    account.client("sqs").create_queue(QueueName="EaselApi-Lost-x")
    account.client("sagemaker").create_notebook_instance(
        NotebookInstanceName="Notebook-x", InstanceType="ml.m5.xlarge", RoleArn="arn:aws:iam::123456789012:role/r",
        VolumeSizeInGB=20, Tags=TAGS,
    )  # fmt: skip


def test_all_leftovers_are_found_with_their_prices(
    account: Account, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for create in (create_endpoint, create_storage, create_monitoring, create_api_resources):
        create(account)
    apis = [{"id": "a1", "name": "Api", "description": "Easel"}, {"id": "b2", "name": "x"}]
    monkeypatch.setitem(RESPONSES, "GetRestApis", {"items": apis})
    result = scan_region(account)
    prices = {
        (leftover.code, re.split("[:/]", leftover.name)[-1]): leftover.usd_per_month for leftover in result.leftovers
    }
    hour = USD_PER_HOUR
    expected = {
        ("endpoint", ENDPOINT): pytest.approx(2 * 730 * hour["ml.g4dn.xlarge"]),
        ("endpoint_config", "EaselModel-EndpointConfig-x"): 0,
        ("model", "EndpointModel-x"): 0,
        ("notebook", "Notebook-x"): pytest.approx(730 * hour["ml.m5.xlarge"] + 20 * 0.14),
        ("bucket", "easelstorage-store1d2a845b-x"): pytest.approx(1000 / 1e9 * 0.023),
        ("log_group", "easel-async0a1b2c-1"): 0,
        ("secret", "EaselModel-Token-x"): 0.4,
        ("alarm", "EaselApi-Errors-x"): 0.1,
        ("alarm", "AllTraffic-AlarmLow-1"): 0.1,
        ("dashboard", "EaselApi-Board-x"): 3.0,
        ("web_acl", "FirewallAcl-x"): 7.0,
        ("topic", "EaselModel-Success-x"): 0,
        ("queue", "EaselApi-Lost-x"): 0,
        ("rest_api", "a1"): 0,
    }
    (key,) = (name for code, name in prices if code == "kms_key")
    assert prices == {**expected, ("kms_key", key): 1.0}
    assert print_scan(result, as_json=False) == 1
    output = capsys.readouterr().out
    total = 2 * 730 * hour["ml.g4dn.xlarge"] + 730 * hour["ml.m5.xlarge"] + 2.8 + 1 + 0.4 + 0.2 + 3 + 7
    assert f"15 left, about {total:.2f} USD" in output
    assert f"aws sagemaker delete-endpoint --endpoint-name {ENDPOINT} --region {REGION}" in output
    positions = [output.index(name) for name in (ENDPOINT, "Notebook-x", "EaselApi-Board-x")]
    assert positions == sorted(positions), "the most expensive is first"


def test_a_deleted_resource_is_not_found(account: Account) -> None:
    """AWS lists the tags of deleted resources for a while."""
    create_endpoint(account)
    assert "endpoint" in codes(account)
    account.client("sagemaker").delete_endpoint(EndpointName=ENDPOINT)
    assert "endpoint" not in codes(account)


def test_a_stack_is_removed_with_the_cdk(
    account: Account, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RESPONSES, "DescribeStacks", {"Stacks": [STACK, {**STACK, "StackName": "Easelike"}]})
    result = scan(account, [REGION, "eu-north-1"], Terminal())
    assert [leftover.name for leftover in result.leftovers if leftover.code == "stack"] == ["EaselApi"] * 2
    print_scan(result, as_json=False)
    commands = re.findall(r"^  (AWS_REGION=.*?|aws .*?)(?:   \(|$)", capsys.readouterr().out, re.MULTILINE)
    assert commands == [f"AWS_REGION={region} npx cdk destroy --all" for region in (REGION, "eu-north-1")]


# --- what belongs to Easel -----------------------------------------------------------------------


def test_a_domain_is_identified_by_its_tag() -> None:
    tagged = {"arn:aws:apigateway:eu-west-1::/domainnames/draw.example.com": "easel"}
    assert belongs_to_easel(ROWS["domain_name"], {"domainName": "draw.example.com"}, tagged, DEFAULT)
    assert not belongs_to_easel(ROWS["domain_name"], {"domainName": "example.com"}, tagged, DEFAULT)


@pytest.mark.parametrize("name", ["EaselA-Gatew-1A2B3C4D5E6F", "EaselApi-GatewayApiKey-x"])
def test_an_api_key_is_identified_by_its_name(name: str) -> None:
    assert belongs_to_easel(ROWS["api_key"], {"id": "x", "name": name}, {}, DEFAULT)


def test_a_user_pool_is_identified_by_its_tag_and_its_name() -> None:
    item = {"Id": "us-east-1_aB3", "Name": "EaselUsers-pool"}
    assert belongs_to_easel(ROWS["user_pool"], item, {}, DEFAULT)
    tagged = {"arn:aws:cognito-idp:us-east-1:123456789012:userpool/us-east-1_ab3": "easel-dev"}
    assert not belongs_to_easel(ROWS["user_pool"], item, tagged, DEFAULT)


@pytest.mark.parametrize(
    ("code", "item"),
    [
        ("user_pool", {"Id": "us-east-1_aB3", "Name": "EaselUsers"}),
        ("bucket", {"Name": "easelmodels-2024"}),
        ("bucket", {"Name": "easelapi-user-uploads"}),
        ("stack", {"StackName": "EaselApi-prod", "StackId": "s"}),
        ("stack", {"StackName": "EaselPainter", "StackId": "s"}),
        ("secret", {"Name": "EaselHubToken", "ARN": "a"}),
        ("function", {"FunctionName": "EaselPainter-Api", "FunctionArn": "a"}),
        ("log_group", {"logGroupName": "/aws/lambda/EaselPainter-Api", "arn": "a"}),
        ("role", {"RoleName": "EaselAdmin", "Arn": "a"}),
        ("distribution", {"Id": "E1", "ARN": "a", "Comment": "Easel Studio, the shop"}),
        ("rest_api", {"id": "x", "description": "EaselPainter's API"}),
        ("api_key", {"id": "x", "name": "EaselPainter"}),
    ],
)
def test_a_similar_name_does_not_belong_to_easel(code: str, item: dict[str, str]) -> None:
    assert not belongs_to_easel(ROWS[code], item, {}, DEFAULT)


# --- prices --------------------------------------------------------------------------------------


def test_a_resource_without_a_known_price_is_listed() -> None:
    """Such as an endpoint whose configuration was deleted, which is still billed."""
    summary = {"EndpointArn": "a" * 20, "CreationTime": NOW, "LastModifiedTime": NOW, "EndpointStatus": "InService"}
    description, config = {**summary, "EndpointName": ENDPOINT}, {"EndpointConfigName": "c"}
    summaries = [{**summary, "EndpointName": name} for name in (ENDPOINT, f"{ENDPOINT}4")]
    message = "Could not find endpoint configuration"
    aws = FakeAws(**{
        "sagemaker.ListEndpoints": {"Endpoints": summaries},
        "sagemaker.DescribeEndpoint": lambda request: (
            description | (config if request["EndpointName"] == ENDPOINT else {})
        ),
        "sagemaker.DescribeEndpointConfig": client_error("ValidationException", message),
    })  # fmt: skip
    first, second = find_leftovers(aws.account(), ROWS["endpoint"], REGION, REGION, {})
    assert (first.name, first.usd_per_month, message in first.note) == (ENDPOINT, None, True)
    assert (second.name, second.usd_per_month) == (f"{ENDPOINT}4", None)
    assert "EndpointConfigName" in second.note


@pytest.mark.parametrize(
    ("counts", "usd", "note"),
    [
        ((1, 2), 730 * (USD_PER_HOUR["ml.g5.xlarge"] + 2 * USD_PER_HOUR["ml.g6.xlarge"]), "1 x ml.g5.xlarge, 2 x"),
        ((0, 0), 0, "0 x ml.g5.xlarge, 0 x ml.g6.xlarge"),
    ],
)
def test_the_price_of_an_endpoint_with_fallbacks(counts: tuple[int, int], usd: float, note: str) -> None:
    names = ("ml.g5.xlarge", "ml.g6.xlarge")
    pools = [{"InstanceType": name, "Priority": i} for i, name in enumerate(names, 1)]
    running = [{"InstanceType": name, "CurrentInstanceCount": n} for name, n in zip(names, counts, strict=True) if n]
    variant = {"VariantName": "AllTraffic", "CurrentInstanceCount": sum(counts)}
    summary = {"EndpointName": ENDPOINT, "EndpointArn": "a" * 20, "EndpointStatus": "InService", "CreationTime": NOW}
    config = {"EndpointConfigName": "c", "EndpointConfigArn": "a" * 20, "CreationTime": NOW}
    aws = FakeAws(**{
        "sagemaker.DescribeEndpoint": {
            **summary, "LastModifiedTime": NOW, "EndpointConfigName": "c",
            "ProductionVariants": [{**variant, **({"InstancePools": running} if running else {})}],
        },
        "sagemaker.DescribeEndpointConfig": {
            **config, "ProductionVariants": [{"VariantName": "AllTraffic", "InstancePools": pools}]
        },
    })  # fmt: skip
    found_usd, found_note = ROWS["endpoint"].price(aws.account(), REGION, {"EndpointName": ENDPOINT})
    assert found_usd == pytest.approx(usd)
    assert f"InService, {note}" in found_note


# --- places --------------------------------------------------------------------------------------


def test_removal_of_global_resources_needs_a_scan_of_all_regions(account: Account) -> None:
    """A deploy in another region may use them."""
    account.client("cloudwatch", "us-east-1").put_dashboard(DashboardName="EaselApi-Board-x", DashboardBody="{}")
    (dashboard,) = scan_region(account).leftovers
    assert (dashboard.region, dashboard.remove) == ("global", SCAN_ALL_REGIONS)
    (dashboard,) = scan_region(account, all_regions=True).leftovers
    assert dashboard.remove == "aws cloudwatch delete-dashboards --dashboard-names EaselApi-Board-x"


def test_global_resources_of_govcloud() -> None:
    """Its partition has no CloudFront and no Budgets; calls to them would fail, and no scan would be complete."""
    aws = FakeAws(**{
        "resourcegroupstaggingapi.GetResources": {"ResourceTagMappingList": []},
        "cloudwatch.ListDashboards": {"DashboardEntries": []},
        "iam.ListRoles": {"Roles": []},
    })  # fmt: skip
    account = aws.account("us-gov-east-1")
    assert scan(account, [], Terminal()) == Scan()
    assert {region for _, region in account._clients} == {"us-gov-west-1"}


def test_a_repeated_region_is_scanned_once(account: Account) -> None:
    account.client("sns").create_topic(Name="EaselModel-Success-x")
    assert len(scan(account, [REGION, REGION], Terminal()).leftovers) == 1


def test_only_the_given_regions_are_scanned(account: Account) -> None:
    account.client("sns", "eu-north-1").create_topic(Name="EaselModel-Success-x")
    assert not scan(account, ["us-west-2"], Terminal()).leftovers
    (topic,) = scan(account, ["us-west-2", "eu-north-1"], Terminal()).leftovers
    assert topic.region == "eu-north-1"


def test_the_command_needs_no_region_to_scan_all_regions(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3, "Session", lambda **_: account._session)
    account.client("sns", "eu-north-1").create_topic(Name="EaselModel-Success-x")
    regions = {"Regions": [{"RegionName": "eu-north-1"}]}
    account._session.events.register("before-call.ec2.DescribeRegions", lambda **_: (HttpResponse(), regions))
    result = CliRunner().invoke(app, ["leftovers", "--all-regions", "--json"])
    assert result.exit_code == 1
    assert [leftover["region"] for leftover in json.loads(result.stdout)["leftovers"]] == ["eu-north-1"]


# --- report --------------------------------------------------------------------------------------


def test_an_incomplete_scan_proves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    aws = FakeAws()
    aws.session.events.register_first("before-call.*.*", _deny)
    result = scan(aws.account(), [REGION], Terminal())
    assert len(result.errors) == len(RESOURCE_TYPES) + 2, "each type, and the tags of each place"
    assert result.errors[0].startswith("global: tags: ")
    assert "GetResources" in result.errors[0]
    assert print_scan(result, as_json=False) == 1
    output = capsys.readouterr().out
    assert result.errors[0] in output
    assert NOTHING_LEFT not in output


def _deny(model: Any, **_: Any) -> None:
    error = client_error("AccessDeniedException", "no")
    raise type(error)(error.response, model.name)


def leftover(row: ResourceType, name: str, usd: float | None) -> Leftover:
    return Leftover(code=row.code, region=REGION, type=row.type, name=name, usd_per_month=usd, note="", remove="…")


def test_a_name_is_no_command_and_no_escape_sequence(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    """AWS lets alarms have almost any name."""
    name = "EaselModel-x; touch canary"
    account.client("cloudwatch").put_metric_alarm(
        AlarmName=name, MetricName="m", Namespace="n", Period=60, Statistic="Sum", Threshold=1.0,
        EvaluationPeriods=1, ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    (found,) = find_leftovers(account, ROWS["alarm"], REGION, REGION, {})
    assert found.remove.endswith(f"--alarm-names '{name}'")
    print_scan(Scan([leftover(ROWS["bucket"], "b\x1b[2J", None)], ["\x9b"]), as_json=False)
    assert capsys.readouterr().out.replace("\n", "").isprintable()


def test_the_report_as_json_and_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    key, bucket = leftover(ROWS["kms_key"], "k", 1.0), leftover(ROWS["bucket"], "b", None)
    assert print_scan(Scan([key, bucket], ["global: tags: no"]), as_json=True) == 1
    output = json.loads(capsys.readouterr().out)
    assert (output["usd_per_month"], output["errors"]) == (1.0, ["global: tags: no"])
    assert [(item["code"], item["type"], item["name"]) for item in output["leftovers"]] == [
        ("kms_key", "AWS::KMS::Key", "k"),
        ("bucket", "AWS::S3::Bucket", "b"),
    ]
    assert print_scan(Scan([bucket]), as_json=False) == 1
    assert "        ?  b" in capsys.readouterr().out
