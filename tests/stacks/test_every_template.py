"""What must hold in every variant."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from app import ROOT
from stacks.model.endpoint import VARIANT
from tests.stacks.assembly import Assembly, flat

NAMES = {
    "AWS::S3::Bucket": "BucketName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::IAM::Role": "RoleName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::SQS::Queue": "QueueName",
    "AWS::SageMaker::Model": "ModelName",
    "AWS::SageMaker::EndpointConfig": "EndpointConfigName",
    "AWS::SageMaker::NotebookInstance": "NotebookInstanceName",
    "AWS::SageMaker::NotebookInstanceLifecycleConfig": "NotebookInstanceLifecycleConfigName",
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::ApiGateway::ApiKey": "Name",
    "AWS::ApiGateway::UsagePlan": "UsagePlanName",
}
"""Where a name of ours would meet the same name of another Easel in the account."""


def statements(assembly: Assembly) -> Iterator[dict[str, Any]]:
    for template in assembly.templates.values():
        for resource in template["Resources"].values():
            properties = resource.get("Properties", {})
            for document in ("PolicyDocument", "AssumeRolePolicyDocument"):
                yield from properties.get(document, {}).get("Statement", [])


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_every_finding_is_answered(each: Assembly) -> None:
    assert json.loads((each.folder / "validation-report.json").read_text())["pluginReports"] == []


def test_every_answer_has_a_reason(each: Assembly) -> None:
    tree = json.loads((each.folder / "manifest.json").read_text())["artifacts"]
    metadata = [
        entry
        for name in tree
        if (path := each.folder / f"{name}.metadata.json").is_file()
        for entries in json.loads(path.read_text()).values()
        for entry in entries
        if entry["type"] == "aws:cdk:acknowledged-rules"
    ]
    reasons = {reason for entry in metadata for reason in entry["data"].values()}
    assert reasons
    assert all(len(reason) >= 30 for reason in reasons)


def test_cfn_lint_finds_nothing(each: Assembly) -> None:
    assert each.lint() == []


def test_nothing_is_written_for_one_partition(each: Assembly) -> None:
    partition = {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(each.region.rpartition("-")[0].rpartition("-")[0], "aws")
    for arn in re.findall(r"arn:(aws[a-z-]*):", json.dumps(each.templates)):
        assert arn == partition
    if partition != "aws":
        assert ".amazonaws.com/" not in json.dumps(each.templates)


def test_no_statement_allows_everybody(each: Assembly) -> None:
    for statement in statements(each):
        if statement["Effect"] == "Allow":
            assert "NotPrincipal" not in statement
            assert "*" not in named(statement.get("Principal", {}))


def named(principal: Any) -> list[Any]:
    """Everybody whom a statement names, of whatever kind."""
    kinds = principal.values() if isinstance(principal, dict) else [principal]
    return [one for kind in kinds for one in as_list(kind)]


def test_no_function_may_be_called_by_everybody(each: Assembly) -> None:
    permissions = [one["Properties"] for one in each.resources("AWS::Lambda::Permission").values()]
    assert permissions
    for permission in permissions:
        assert permission["Principal"].endswith(".amazonaws.com")
        assert "SourceArn" in permission
        assert "FunctionUrlAuthType" not in permission
    assert not [one for one in each.resources("AWS::ApiGateway::RestApi").values() if "Policy" in one["Properties"]]


def test_no_statement_allows_every_action(each: Assembly) -> None:
    allowed = [s for s in statements(each) if s["Effect"] == "Allow" and "Principal" not in s]
    for action in (action for statement in allowed for action in as_list(statement["Action"])):
        assert "*" not in action, action


def test_any_resource_is_meant_only_where_an_action_knows_none(each: Assembly) -> None:
    anywhere = {action for s in statements(each) if s.get("Resource") == "*" for action in as_list(s["Action"])}
    assert anywhere <= {
        "ecr:GetAuthorizationToken",
        "cloudwatch:PutMetricData",
        "cloudwatch:DescribeAlarms",
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
        "application-autoscaling:DeregisterScalableTarget",
        "cloudwatch:GetMetricStatistics",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeVpcs",
        "ec2:DescribeDhcpOptions",
        "ec2:DescribeSubnets",
        "sagemaker:ListEndpointConfigs",
        "sagemaker:ListEndpoints",
        "sagemaker:ListModels",
        "s3:ListAllMyBuckets",
    }


def test_nothing_is_open_to_the_internet(each: Assembly) -> None:
    assert "0.0.0.0/0" not in json.dumps(each.templates)
    assert '"::/0"' not in json.dumps(each.templates)


def test_nothing_has_a_name_of_ours(each: Assembly) -> None:
    for kind, name in NAMES.items():
        for id, resource in each.resources(kind).items():
            assert name not in resource["Properties"], id


def test_the_endpoints_name_is_the_stacks_own(each: Assembly) -> None:
    name = each.only("AWS::SageMaker::Endpoint")["EndpointName"]
    assert {"Fn::Select": [2, {"Fn::Split": ["/", {"Ref": "AWS::StackId"}]}]} in name["Fn::Join"][1]


def test_every_log_group_ends_and_every_function_has_one(each: Assembly) -> None:
    groups = each.resources("AWS::Logs::LogGroup")
    for group in groups.values():
        assert group["Properties"]["RetentionInDays"] == 30
        assert group["DeletionPolicy"] == "Delete"
    for id, function in each.resources("AWS::Lambda::Function").items():
        assert function["Properties"]["LoggingConfig"]["LogGroup"]["Ref"] in groups, id


STATEFUL = {
    "AWS::S3::Bucket": {"Store1D2A845B", "PageFiles79CCA538"},  # jobs and releases
    "AWS::SageMaker::NotebookInstance": {"Notebook"},  # what people wrote there
    "AWS::ApiGateway::RestApi": {"GatewayApi4EDF2151"},  # the address that callers have
    "AWS::ApiGateway::DomainName": {"Domain15DC21D9"},  # what a DNS record of somebody leads to
    "AWS::ApiGateway::ApiKey": {"GatewayApiKey4CB353A3"},  # the key that callers have
    "AWS::CloudFront::Distribution": {"Distribution830FAC52"},  # the page's address
    "AWS::SNS::Topic": {  # subscriptions that somebody has confirmed
        "AlertsTopicCF7C81C9", "EndpointAnswersSuccessAA467CA9", "EndpointAnswersErrorB920AC0C",
    },
    "AWS::SQS::Queue": {"LostDF84CB6B"},  # events that wait for somebody
}  # fmt: skip
"""What another logical id would make anew, and so lose."""


def test_the_stateful_keep_their_logical_ids(each: Assembly) -> None:
    for kind, ids in STATEFUL.items():
        assert each.resources(kind).keys() <= ids, kind
    always = ("AWS::S3::Bucket", "AWS::ApiGateway::RestApi", "AWS::SNS::Topic", "AWS::SQS::Queue")
    assert all(each.resources(kind) for kind in always)


def tags_of(resource: dict[str, Any]) -> dict[str, str] | None:
    """None where the type takes none, as CloudFormation's own schema has it."""
    if resource["Type"].startswith(("Custom::", "AWS::CDK::")):
        return None
    tagging = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", resource["Type"]).schema.get("tagging", {})
    if not tagging.get("taggable"):
        return None
    tags = resource["Properties"].get(tagging["tagProperty"].rpartition("/")[2], [])
    return tags if isinstance(tags, dict) else {tag["Key"]: tag["Value"] for tag in tags}


def test_everything_that_takes_tags_is_ours(each: Assembly) -> None:
    """Also what the CDK makes by itself: by these tags costs are told apart, and leftovers are found."""
    resources = [one for template in each.templates.values() for one in template["Resources"].items()]
    tagged = {id: tags for id, resource in resources if (tags := tags_of(resource)) is not None}
    assert len(tagged) > 20
    mode = "async" if "AsyncInferenceConfig" in each.only("AWS::SageMaker::EndpointConfig") else "realtime"
    ours = {"easel:app": "easel", "easel:mode": mode}.items()
    assert [id for id, tags in tagged.items() if not ours <= tags.items()] == []


def test_what_a_destroy_keeps_is_in_the_docs(each: Assembly) -> None:
    page = (ROOT / "docs/how-to/destroy.md").read_text()
    section = page.partition("## What a destroy keeps")[2].partition("\n## ")[0]
    told = set(re.findall(r"^\| `([\w:]+)`", section, re.MULTILINE))
    kept = {
        resource["Type"]
        for template in each.templates.values()
        for resource in template["Resources"].values()
        for policy in ("DeletionPolicy", "UpdateReplacePolicy")
        if resource.get(policy, "Delete") != "Delete"
    }
    assert kept <= told, "each DeletionPolicy and UpdateReplacePolicy that is not Delete has a row there"
    assert kept == (told if "Retain" in json.dumps(each.templates["EaselStorage"]) else set())


def test_a_command_in_an_output_names_the_region(each: Assembly) -> None:
    """The shell that runs it may be in another one: `easel outputs --region` prints them everywhere."""
    told = {name: flat(value) for stack in each.templates for name, value in each.outputs(stack).items()}
    commands = {name for name, value in told.items() if re.search(r"\baws [a-z]+ [a-z-]+ --", value)}
    assert {name for name in told if name.endswith("Command")} <= commands
    for name in commands:
        assert re.search(rf" --region ({each.region}|AWS::Region) ", told[name]), told[name]


def test_no_setting_of_the_account_is_touched(each: Assembly) -> None:
    assert each.resources("AWS::ApiGateway::Account") == {}


def test_async_sleeps_and_wakes_by_metrics_of_the_endpoint_alone(each: Assembly) -> None:
    """With the variant as a second dimension there are no such metrics, and nothing would ever wake it."""
    policies = [one["Properties"] for one in each.resources("AWS::ApplicationAutoScaling::ScalingPolicy").values()]
    kinds = sorted(policy["PolicyType"] for policy in policies)
    if "AsyncInferenceConfig" not in each.only("AWS::SageMaker::EndpointConfig"):
        assert kinds == ["TargetTrackingScaling"]
        return
    assert kinds == ["StepScaling", "TargetTrackingScaling"]
    (tracking,) = (
        policy["TargetTrackingScalingPolicyConfiguration"]["CustomizedMetricSpecification"]
        for policy in policies
        if policy["PolicyType"] == "TargetTrackingScaling"
    )
    alarms = [one["Properties"] for one in each.resources("AWS::CloudWatch::Alarm", "EaselModel").values()]
    (waiting,) = (one for one in alarms if one["MetricName"] == "HasBacklogWithoutCapacity")
    for metric in (tracking, waiting):
        assert [one["Name"] for one in metric["Dimensions"]] == ["EndpointName"]


def test_scaling_is_of_the_variant_that_there_is(each: Assembly) -> None:
    target = each.only("AWS::ApplicationAutoScaling::ScalableTarget")
    assert target["ResourceId"]["Fn::Join"][1][-1] == f"/variant/{VARIANT}"
    (variant,) = each.only("AWS::SageMaker::EndpointConfig")["ProductionVariants"]
    assert variant["VariantName"] == VARIANT
    assert target["ScalableDimension"] == "sagemaker:variant:DesiredInstanceCount"
