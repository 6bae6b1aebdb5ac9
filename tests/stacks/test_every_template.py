"""Rules for every template of every variant."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from app import ROOT
from stacks.config import names
from stacks.config.names import USAGE_SLOT
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
"""Type to the property with its name. A fixed name would collide with another Easel in the account."""


def statements(assembly: Assembly) -> Iterator[dict[str, Any]]:
    for template in assembly.templates.values():
        for resource in template["Resources"].values():
            properties = resource.get("Properties", {})
            for document in ("PolicyDocument", "AssumeRolePolicyDocument"):
                yield from properties.get(document, {}).get("Statement", [])


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_every_finding_is_suppressed(each: Assembly) -> None:
    assert json.loads((each.folder / "validation-report.json").read_text())["pluginReports"] == []


def test_every_suppression_has_a_reason(each: Assembly) -> None:
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


def test_every_arn_is_of_the_partition(each: Assembly) -> None:
    partition = {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(each.region.rpartition("-")[0].rpartition("-")[0], "aws")
    for arn in re.findall(r"arn:(aws[a-z-]*):", json.dumps(each.templates)):
        assert arn == partition
    if partition != "aws":
        assert ".amazonaws.com/" not in json.dumps(each.templates)


def test_no_statement_allows_everybody(each: Assembly) -> None:
    for statement in statements(each):
        if statement["Effect"] == "Allow":
            assert "NotPrincipal" not in statement
            assert "*" not in principals(statement.get("Principal", {}))


def principals(principal: Any) -> list[Any]:
    """Return the principals of a statement, of all kinds."""
    kinds = principal.values() if isinstance(principal, dict) else [principal]
    return [item for kind in kinds for item in as_list(kind)]


def test_services_assume_roles_for_this_account_only(each: Assembly) -> None:
    """Lambda sends no source account."""
    trusted = [s for s in statements(each) if s["Action"] == "sts:AssumeRole"]
    services = {service for statement in trusted for service in principals(statement["Principal"])}
    assert services >= {"lambda.amazonaws.com", "sagemaker.amazonaws.com"}
    for statement in trusted:
        if principals(statement["Principal"]) != ["lambda.amazonaws.com"]:
            assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}


def test_no_function_may_be_called_by_everybody(each: Assembly) -> None:
    permissions = each.properties("AWS::Lambda::Permission")
    assert permissions
    for permission in permissions:
        assert permission["Principal"].endswith(".amazonaws.com")
        assert "SourceArn" in permission
        assert "FunctionUrlAuthType" not in permission
    assert not [api for api in each.properties("AWS::ApiGateway::RestApi") if "Policy" in api]


def test_no_statement_allows_every_action(each: Assembly) -> None:
    allowed = [s for s in statements(each) if s["Effect"] == "Allow" and "Principal" not in s]
    for action in (action for statement in allowed for action in as_list(statement["Action"])):
        assert "*" not in action, action


def test_any_resource_is_allowed_only_for_actions_without_resources(each: Assembly) -> None:
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
        "xray:PutTraceSegments",
        "xray:PutTelemetryRecords",
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


def test_nothing_has_a_fixed_name(each: Assembly) -> None:
    for kind, name in NAMES.items():
        for id, resource in each.resources(kind).items():
            assert name not in resource["Properties"], id


def test_every_stack_has_the_name_of_the_endpoint_as_a_text(each: Assembly) -> None:
    """So no stack has the name of an endpoint that was deleted and deployed again, whoever deletes it."""
    name = each.only("AWS::SageMaker::Endpoint")["EndpointName"]
    assert re.fullmatch(r"easel-(async|realtime)[0-9a-f]{6}", name)
    for stack in ("EaselModel", "EaselApi"):
        found = set(re.findall(r"easel-(?:async|realtime)[0-9a-f]+", json.dumps(each.templates[stack])))
        assert found == {name}


EXPORTS = {
    "EaselStorage": {
        "RefStore1D2A845BA6E0D5A9", "FnGetAttStore1D2A845BArnE59B7AE7", "RefResultsSuccessCDDB594ED01483BA",
        "RefResultsError5CB02EAD97FBEF65", "RefAlertsTopicCF7C81C9D535FDD6",
        "RefAlertsBudgetUsedUpDC8E9E6348AAD771", "RefAccountsBE8A900E49F49769", "FnGetAttAccountsBE8A900EArn3C4EFE21",
    },
    "EaselApi": {"RefGatewayApi4EDF215182C083AD"},
    "EaselUsers": {"RefPoolD3F588B86FF122B2", "RefPoolDomainCFC71F563A148EC8"},
}  # fmt: skip
"""Stack to the ends of the names of its exports. A deploy that removes one fails while another stack imports it."""


def test_references_between_stacks_are_strong_and_no_setting_removes_an_export(each: Assembly) -> None:
    """docs/explanation/decisions/references-between-stacks.md."""
    assert "Fn::GetStackOutput" not in json.dumps(each.templates)
    exports = {
        stack: {output["Export"]["Name"] for output in template.get("Outputs", {}).values() if "Export" in output}
        for stack, template in each.templates.items()
    }
    assert {stack: names for stack, names in exports.items() if names} == {
        stack: {f"{stack}:ExportsOutput{end}" for end in ends}
        for stack, ends in EXPORTS.items()
        if stack in each.templates
    }
    api, model = (json.dumps(each.templates[stack]) for stack in ("EaselApi", "EaselModel"))
    imported = set(re.findall(r'"Fn::ImportValue": "(\w+):', api + model))
    assert imported == {"EaselStorage", "EaselUsers"} & each.templates.keys()


def test_every_log_group_expires_and_every_function_has_a_group(each: Assembly) -> None:
    groups = each.resources("AWS::Logs::LogGroup")
    for group in groups.values():
        assert group["Properties"]["RetentionInDays"] == 30
        assert group["DeletionPolicy"] == "Delete"
    for id, function in each.resources("AWS::Lambda::Function").items():
        assert function["Properties"]["LoggingConfig"]["LogGroup"]["Ref"] in groups, id


STATEFUL = {
    "AWS::S3::Bucket": {"Store1D2A845B", "PageFiles79CCA538"},  # jobs, images and releases
    "AWS::SageMaker::NotebookInstance": {"Notebook"},  # the user's files
    "AWS::ApiGateway::RestApi": {"GatewayApi4EDF2151"},  # the address that callers use
    "AWS::ApiGateway::DomainName": {"Domain15DC21D9"},  # the target of a DNS record
    "AWS::ApiGateway::ApiKey": {"GatewayApiKey4CB353A3"},  # the key that callers use
    "AWS::Cognito::UserPool": {"PoolD3F588B8"},  # the people, whose jobs belong to their ids in this pool
    "AWS::Cognito::UserPoolDomain": {"PoolDomainCFC71F56"},  # the hosted page's address, which a provider knows
    "AWS::DynamoDB::Table": {"AccountsBE8A900E"},  # keys, and what they used
    "AWS::CloudFront::Distribution": {"Distribution830FAC52"},  # the page's address
    "AWS::SNS::Topic": {  # confirmed subscriptions
        "AlertsTopicCF7C81C9", "AlertsBudgetUsedUpDC8E9E63", "ResultsSuccessCDDB594E", "ResultsError5CB02EAD",
    },
    "AWS::SQS::Queue": {  # events that wait for an operator, or for their delivery
        "LostEvents3D75545E", "BudgetStopLost4257B51F", "FunctionsWebhooksLostF0FD20DF",
        "FunctionsWebhooksQueue0DDF23A0",
    },
}  # fmt: skip
"""Type to logical ids. With another logical id CloudFormation would create a new resource and delete the old."""


def test_stateful_resources_keep_their_logical_ids(each: Assembly) -> None:
    for kind, ids in STATEFUL.items():
        assert {id for id in each.resources(kind) if USAGE_SLOT not in id} <= ids, kind
    always = (
        "AWS::S3::Bucket",
        "AWS::DynamoDB::Table",
        "AWS::ApiGateway::RestApi",
        "AWS::SNS::Topic",
        "AWS::SQS::Queue",
    )
    assert all(each.resources(kind) for kind in always)


def tags_of(resource: dict[str, Any]) -> dict[str, str] | None:
    """Return the tags, or None for a type without tags by CloudFormation's schema."""
    if resource["Type"].startswith(("Custom::", "AWS::CDK::")):
        return None
    tagging = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", resource["Type"]).schema.get("tagging", {})
    if not tagging.get("taggable"):
        return None
    tags = resource["Properties"].get(tagging["tagProperty"].rpartition("/")[2], [])
    return tags if isinstance(tags, dict) else {tag["Key"]: tag["Value"] for tag in tags}


def test_every_taggable_resource_has_the_tags(each: Assembly) -> None:
    """Including resources that the CDK creates by itself. Cost Explorer and `easel leftovers` use the tags."""
    resources = [item for template in each.templates.values() for item in template["Resources"].items()]
    tagged = {id: tags for id, resource in resources if (tags := tags_of(resource)) is not None}
    assert len(tagged) > 20
    mode = "async" if "AsyncInferenceConfig" in each.only("AWS::SageMaker::EndpointConfig") else "realtime"
    expected = {names.APP_TAG: names.APP, names.NAME_TAG: "easel", names.MODE_TAG: mode}.items()
    assert [id for id, tags in tagged.items() if not expected <= tags.items()] == []


def test_the_docs_list_what_a_destroy_keeps(each: Assembly) -> None:
    page = (ROOT / "docs/how-to/destroy.md").read_text()
    section = page.partition("## What a destroy keeps")[2].partition("\n## ")[0]
    documented = set(re.findall(r"^\| `([\w:]+)`", section, re.MULTILINE))
    kept = {
        resource["Type"]
        for template in each.templates.values()
        for resource in template["Resources"].values()
        for policy in ("DeletionPolicy", "UpdateReplacePolicy")
        if resource.get(policy, "Delete") != "Delete"
    }
    assert kept <= documented, "the page needs a row for each DeletionPolicy and UpdateReplacePolicy other than Delete"
    assert kept == (documented if "Retain" in json.dumps(each.templates["EaselStorage"]) else set())


def test_a_command_in_an_output_names_the_region(each: Assembly) -> None:
    """The shell that runs it may use another region: `easel outputs --region` prints outputs of any region."""
    outputs = {name: flat(value) for stack in each.templates for name, value in each.outputs(stack).items()}
    commands = {name for name, value in outputs.items() if re.search(r"\baws [a-z-]+ [a-z-]+ --", value)}
    assert {name for name in outputs if name.endswith("Command")} <= commands
    for name in commands:
        assert re.search(rf" --region ({each.region}|AWS::Region) ", outputs[name]), outputs[name]


def test_no_setting_of_the_account_is_changed(each: Assembly) -> None:
    assert each.resources("AWS::ApiGateway::Account") == {}


def test_async_scales_by_metrics_of_the_endpoint_only(each: Assembly) -> None:
    """With the variant as a second dimension the metrics do not exist, and no instance would ever start."""
    policies = each.properties("AWS::ApplicationAutoScaling::ScalingPolicy")
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
    alarms = each.properties("AWS::CloudWatch::Alarm", "EaselModel")
    (waiting,) = (alarm for alarm in alarms if alarm.get("MetricName") == "HasBacklogWithoutCapacity")
    for metric in (tracking, waiting):
        assert [dimension["Name"] for dimension in metric["Dimensions"]] == ["EndpointName"]


def test_scaling_targets_the_variant_of_the_endpoint(each: Assembly) -> None:
    target = each.only("AWS::ApplicationAutoScaling::ScalableTarget")
    name = each.only("AWS::SageMaker::Endpoint")["EndpointName"]
    assert target["ResourceId"] == f"endpoint/{name}/variant/{VARIANT}"
    (variant,) = each.only("AWS::SageMaker::EndpointConfig")["ProductionVariants"]
    assert variant["VariantName"] == VARIANT
    assert target["ScalableDimension"] == "sagemaker:variant:DesiredInstanceCount"
