"""What must hold in every variant."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from cfnlint.api import ManualArgs, lint
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from app import ROOT
from stacks.parts.endpoint import VARIANT
from tests.stacks.assembly import Assembly

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
    ignored = ["W3005"]  # the CDK writes dependencies out that a reference implies
    for path in each.folder.glob("*.template.json"):
        found = lint(path.read_text(), config=ManualArgs(regions=[each.region], ignore_checks=ignored))
        assert [f"{match.rule.id} {match.message}" for match in found] == []


def test_nothing_is_written_for_one_partition(each: Assembly) -> None:
    partition = {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(each.region.rpartition("-")[0].rpartition("-")[0], "aws")
    for arn in re.findall(r"arn:(aws[a-z-]*):", json.dumps(each.templates)):
        assert arn == partition
    if partition != "aws":
        assert ".amazonaws.com/" not in json.dumps(each.templates)


def test_no_statement_allows_everybody(each: Assembly) -> None:
    for statement in statements(each):
        if statement["Effect"] == "Allow":
            assert as_list(statement.get("Principal", {})) != ["*"]
            assert statement.get("Principal", {}) == {} or "*" not in as_list(statement["Principal"].get("AWS", []))


def test_no_statement_allows_every_action(each: Assembly) -> None:
    allowed = [s for s in statements(each) if s["Effect"] == "Allow" and "Principal" not in s]
    for action in (action for statement in allowed for action in as_list(statement["Action"])):
        assert "*" not in action, action


def test_any_resource_is_meant_only_where_an_action_knows_none(each: Assembly) -> None:
    anywhere = {action for s in statements(each) if s.get("Resource") == "*" for action in as_list(s["Action"])}
    assert anywhere <= {
        "ecr:GetAuthorizationToken",
        "cloudwatch:PutMetricData",
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


def test_the_stateful_keep_their_logical_ids(each: Assembly) -> None:
    """Another id is another bucket: the jobs and releases of everybody who updates would be gone, and so for what
    people wrote on their notebook instances."""
    assert list(each.resources("AWS::S3::Bucket", "EaselStorage")) == ["Store1D2A845B"]
    assert list(each.resources("AWS::SageMaker::NotebookInstance")) in ([], ["Notebook"])


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
    page = (ROOT / "docs/aws.md").read_text()
    section = page.partition("### What a destroy keeps")[2].partition("\n## ")[0]
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


def test_no_setting_of_the_account_is_touched(each: Assembly) -> None:
    assert each.resources("AWS::ApiGateway::Account") == {}


def test_scaling_is_of_the_variant_that_there_is(each: Assembly) -> None:
    target = each.only("AWS::ApplicationAutoScaling::ScalableTarget")
    assert target["ResourceId"]["Fn::Join"][1][-1] == f"/variant/{VARIANT}"
    (variant,) = each.only("AWS::SageMaker::EndpointConfig")["ProductionVariants"]
    assert variant["VariantName"] == VARIANT
    assert target["ScalableDimension"] == "sagemaker:variant:DesiredInstanceCount"
