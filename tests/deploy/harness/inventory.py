"""Inventory of an emulated account: every resource that could cost money or block a later deploy."""

from collections.abc import Iterator
from typing import Any

import jmespath

from tests.deploy.emulator.aws_api.service import ACCOUNT
from tests.deploy.harness.account import Account

LISTS: dict[str, list[tuple[str, dict[str, Any], str, str]]] = {
    "cloudformation": [("describe_stacks", {}, "Stacks", "StackName")],
    "s3": [("list_buckets", {}, "Buckets", "Name")],
    "lambda": [
        ("list_functions", {}, "Functions", "FunctionName"),
        ("list_layers", {}, "Layers", "LayerName"),
        ("list_event_source_mappings", {}, "EventSourceMappings", "UUID"),
    ],
    "iam": [
        ("list_roles", {}, "Roles", "RoleName"),
        ("list_policies", {"Scope": "Local"}, "Policies", "PolicyName"),
        ("list_users", {}, "Users", "UserName"),
    ],
    "apigateway": [
        ("get_rest_apis", {}, "items", "id"),
        ("get_api_keys", {}, "items", "id"),
        ("get_usage_plans", {}, "items", "id"),
    ],
    "cognito-idp": [("list_user_pools", {"MaxResults": 60}, "UserPools", "Name")],
    "sns": [
        ("list_topics", {}, "Topics", "TopicArn"),
        ("list_subscriptions", {}, "Subscriptions", "SubscriptionArn"),
    ],
    "sqs": [("list_queues", {}, "QueueUrls", "")],
    "logs": [("describe_log_groups", {}, "logGroups", "logGroupName")],
    "cloudwatch": [
        ("describe_alarms", {}, "MetricAlarms", "AlarmName"),
        ("list_dashboards", {}, "DashboardEntries", "DashboardName"),
    ],
    "sagemaker": [
        ("list_models", {}, "Models", "ModelName"),
        ("list_endpoint_configs", {}, "EndpointConfigs", "EndpointConfigName"),
        ("list_endpoints", {}, "Endpoints", "EndpointName"),
        ("list_notebook_instances", {}, "NotebookInstances", "NotebookInstanceName"),
        (
            "list_notebook_instance_lifecycle_configs",
            {},
            "NotebookInstanceLifecycleConfigs",
            "NotebookInstanceLifecycleConfigName",
        ),
    ],
    "application-autoscaling": [
        ("describe_scalable_targets", {"ServiceNamespace": "sagemaker"}, "ScalableTargets", "ResourceId"),
        ("describe_scaling_policies", {"ServiceNamespace": "sagemaker"}, "ScalingPolicies", "PolicyName"),
    ],
    "budgets": [("describe_budgets", {"AccountId": ACCOUNT}, "Budgets", "BudgetName")],
    "wafv2": [("list_web_acls", {"Scope": "REGIONAL"}, "WebACLs", "Name")],
    "events": [("list_rules", {}, "Rules", "Name")],
    "ssm": [("describe_parameters", {}, "Parameters", "Name")],
    "secretsmanager": [("list_secrets", {}, "SecretList", "Name")],
    "kms": [("list_keys", {}, "Keys", "KeyId")],
    "ecr": [("describe_repositories", {}, "repositories", "repositoryName")],
    "ec2": [("describe_security_groups", {}, "SecurityGroups", "GroupId"), ("describe_vpcs", {}, "Vpcs", "VpcId")],
    "cloudfront": [
        ("list_distributions", {}, "DistributionList.Items", "Id"),
        ("list_origin_access_controls", {}, "OriginAccessControlList.Items", "Id"),
        (
            "list_response_headers_policies",
            {"Type": "custom"},
            "ResponseHeadersPolicyList.Items",
            "ResponseHeadersPolicy.Id",
        ),
    ],
    "dynamodb": [("list_tables", {}, "TableNames", "")],
    "codebuild": [("list_projects", {}, "projects", "")],
}


def inventory(account: Account) -> set[str]:
    """Return `service: name` of each resource."""
    return {f"{service}: {name}" for service in LISTS for name in _names(account, service)}


def _names(account: Account, service: str) -> Iterator[str]:
    client = account.client(service)
    for operation, parameters, member, key in LISTS[service]:
        response = getattr(client, operation)(**parameters)
        yield from jmespath.search(f"{member}[].{key}" if key else member, response) or []
