"""The resource types that a deploy of Easel can leave behind: how to list, price and remove them.

`easel leftovers` looks for `RESOURCE_TYPES`. A test compares the templates with `RESOURCE_TYPES` and `PARTS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from easel.cloud.leftovers import prices
from easel.cloud.leftovers.prices import Price


@dataclass(frozen=True, kw_only=True)
class ResourceType:
    """One row of the table. `code` is stable; `type` is CloudFormation's name."""

    code: str
    type: str
    listing: tuple[str, str, str]
    """boto3's service and operation, and the path of the items in the response."""
    request: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    """Key of an item's name. Empty: the item is the name, or a URL that ends with it."""
    arn: str = ""
    """Key of an item's ARN; empty if it has none."""
    text: str = ""
    """Key of another text that can identify an item as Easel's, such as its description."""
    price: Price = prices.free
    remove: str
    """Command that deletes an item, with {name}."""
    is_global: bool = False
    """The type belongs to no region."""


SAGEMAKER = "AWS::SageMaker::"
RESOURCE_TYPES = (
    ResourceType(
        code="stack", type="AWS::CloudFormation::Stack", listing=("cloudformation", "describe_stacks", "Stacks"),
        name="StackName", arn="StackId", remove="npx cdk destroy {name}"),
    ResourceType(
        code="endpoint", type=f"{SAGEMAKER}Endpoint", listing=("sagemaker", "list_endpoints", "Endpoints"),
        name="EndpointName", arn="EndpointArn", price=prices.endpoint,
        remove="aws sagemaker delete-endpoint --endpoint-name {name}"),
    ResourceType(
        code="endpoint_config", type=f"{SAGEMAKER}EndpointConfig",
        listing=("sagemaker", "list_endpoint_configs", "EndpointConfigs"),
        name="EndpointConfigName", arn="EndpointConfigArn",
        remove="aws sagemaker delete-endpoint-config --endpoint-config-name {name}"),
    ResourceType(
        code="model", type=f"{SAGEMAKER}Model", listing=("sagemaker", "list_models", "Models"),
        name="ModelName", arn="ModelArn", remove="aws sagemaker delete-model --model-name {name}"),
    ResourceType(
        code="notebook", type=f"{SAGEMAKER}NotebookInstance",
        listing=("sagemaker", "list_notebook_instances", "NotebookInstances"),
        name="NotebookInstanceName", arn="NotebookInstanceArn", price=prices.notebook,
        remove="stop it in the console, then: aws sagemaker delete-notebook-instance "
        "--notebook-instance-name {name}"),
    ResourceType(
        code="scalable_target", type="AWS::ApplicationAutoScaling::ScalableTarget",
        listing=("application-autoscaling", "describe_scalable_targets", "ScalableTargets"),
        request={"ServiceNamespace": "sagemaker"}, name="ResourceId",
        remove="aws application-autoscaling deregister-scalable-target --service-namespace sagemaker "
        "--scalable-dimension sagemaker:variant:DesiredInstanceCount --resource-id {name}"),
    ResourceType(
        code="bucket", type="AWS::S3::Bucket", listing=("s3", "list_buckets", "Buckets"), name="Name",
        price=prices.bucket, remove="aws s3 rb --force s3://{name}"),
    ResourceType(
        code="table", type="AWS::DynamoDB::Table", listing=("dynamodb", "list_tables", "TableNames"),
        remove="aws dynamodb delete-table --table-name {name}"),
    ResourceType(
        code="kms_key", type="AWS::KMS::Key", listing=("kms", "list_keys", "Keys"), name="KeyId", arn="KeyArn",
        price=prices.kms_key, remove="aws kms schedule-key-deletion --pending-window-in-days 7 --key-id {name}"),
    ResourceType(
        code="distribution", type="AWS::CloudFront::Distribution",
        listing=("cloudfront", "list_distributions", "DistributionList.Items"),
        name="Id", arn="ARN", text="Comment", is_global=True,
        remove="disable it in the console, then: aws cloudfront delete-distribution --id {name} --if-match …"),
    ResourceType(
        code="web_acl", type="AWS::WAFv2::WebACL", listing=("wafv2", "list_web_acls", "WebACLs"),
        request={"Scope": "REGIONAL"}, name="Name", arn="ARN", text="Description", price=prices.web_acl,
        remove="delete {name} in the WAF console"),
    ResourceType(
        code="log_group", type="AWS::Logs::LogGroup", listing=("logs", "describe_log_groups", "logGroups"),
        name="logGroupName", arn="arn", price=prices.log_group,
        remove="aws logs delete-log-group --log-group-name {name}"),
    ResourceType(
        code="alarm", type="AWS::CloudWatch::Alarm", listing=("cloudwatch", "describe_alarms", "MetricAlarms"),
        name="AlarmName", arn="AlarmArn", price=prices.flat("alarm"),
        remove="aws cloudwatch delete-alarms --alarm-names {name}"),
    ResourceType(
        code="composite_alarm", type="AWS::CloudWatch::CompositeAlarm",
        listing=("cloudwatch", "describe_alarms", "CompositeAlarms"), request={"AlarmTypes": ["CompositeAlarm"]},
        name="AlarmName", arn="AlarmArn", price=prices.flat("alarm"),
        remove="aws cloudwatch delete-alarms --alarm-names {name}"),
    ResourceType(
        code="dashboard", type="AWS::CloudWatch::Dashboard",
        listing=("cloudwatch", "list_dashboards", "DashboardEntries"),
        name="DashboardName", arn="DashboardArn", price=prices.flat("dashboard"), is_global=True,
        remove="aws cloudwatch delete-dashboards --dashboard-names {name}"),
    ResourceType(
        code="budget", type="AWS::Budgets::Budget", listing=("budgets", "describe_budgets", "Budgets"),
        name="BudgetName", is_global=True, remove="aws budgets delete-budget --account-id … --budget-name {name}"),
    ResourceType(
        code="topic", type="AWS::SNS::Topic", listing=("sns", "list_topics", "Topics"), name="TopicArn",
        arn="TopicArn", remove="aws sns delete-topic --topic-arn {name}"),
    ResourceType(
        code="queue", type="AWS::SQS::Queue", listing=("sqs", "list_queues", "QueueUrls"),
        remove="aws sqs delete-queue --queue-url {name}"),
    ResourceType(
        code="build_project", type="AWS::CodeBuild::Project", listing=("codebuild", "list_projects", "projects"),
        remove="aws codebuild delete-project --name {name}"),
    ResourceType(
        code="secret", type="AWS::SecretsManager::Secret", listing=("secretsmanager", "list_secrets", "SecretList"),
        name="Name", arn="ARN", price=prices.flat("secret"),
        remove="aws secretsmanager delete-secret --force-delete-without-recovery --secret-id {name}"),
    ResourceType(
        code="function", type="AWS::Lambda::Function", listing=("lambda", "list_functions", "Functions"),
        name="FunctionName", arn="FunctionArn", remove="aws lambda delete-function --function-name {name}"),
    ResourceType(
        code="rest_api", type="AWS::ApiGateway::RestApi", listing=("apigateway", "get_rest_apis", "items"),
        name="id", text="description", remove="aws apigateway delete-rest-api --rest-api-id {name}"),
    ResourceType(
        code="domain_name", type="AWS::ApiGateway::DomainName", listing=("apigateway", "get_domain_names", "items"),
        name="domainName", remove="aws apigateway delete-domain-name --domain-name {name}"),
    ResourceType(
        code="api_key", type="AWS::ApiGateway::ApiKey", listing=("apigateway", "get_api_keys", "items"), name="id",
        text="name", remove="aws apigateway delete-api-key --api-key {name}"),
    ResourceType(
        code="usage_plan", type="AWS::ApiGateway::UsagePlan", listing=("apigateway", "get_usage_plans", "items"),
        name="id", text="name", remove="aws apigateway delete-usage-plan --usage-plan-id {name}"),
    ResourceType(
        code="user_pool", type="AWS::Cognito::UserPool", listing=("cognito-idp", "list_user_pools", "UserPools"),
        request={"MaxResults": 60}, name="Id", text="Name",
        remove="delete its domain, then: aws cognito-idp delete-user-pool --user-pool-id {name}"),
    ResourceType(
        code="event_rule", type="AWS::Events::Rule", listing=("events", "list_rules", "Rules"), name="Name",
        arn="Arn", remove="remove its targets, then: aws events delete-rule --name {name}"),
    ResourceType(
        code="role", type="AWS::IAM::Role", listing=("iam", "list_roles", "Roles"), name="RoleName", arn="Arn",
        is_global=True, remove="delete {name} in the IAM console"),
)  # fmt: skip

PARTS = {
    "AWS::ApiGateway::Authorizer", "AWS::ApiGateway::BasePathMapping", "AWS::Route53::RecordSet",
    "AWS::ApiGateway::Deployment", "AWS::ApiGateway::GatewayResponse", "AWS::ApiGateway::Method",
    "AWS::ApiGateway::Resource", "AWS::ApiGateway::Stage", "AWS::ApiGateway::UsagePlanKey",
    "AWS::ApplicationAutoScaling::ScalingPolicy", "AWS::CDK::Metadata", "AWS::CloudFront::CachePolicy",
    "AWS::CloudFront::Function", "AWS::CloudFront::OriginAccessControl", "AWS::CloudFront::OriginRequestPolicy",
    "AWS::CloudFront::ResponseHeadersPolicy", "AWS::EC2::SecurityGroupIngress",
    "AWS::Cognito::ManagedLoginBranding", "AWS::Cognito::UserPoolClient", "AWS::Cognito::UserPoolDomain",
    "AWS::Cognito::UserPoolIdentityProvider", "AWS::Cognito::UserPoolResourceServer",
    "AWS::IAM::Policy", "AWS::KMS::Alias", "AWS::Lambda::EventInvokeConfig", "AWS::Lambda::EventSourceMapping",
    "AWS::Lambda::LayerVersion", "AWS::Lambda::Permission",
    "AWS::Logs::MetricFilter", "AWS::S3::BucketPolicy",
    "AWS::SageMaker::NotebookInstanceLifecycleConfig", "AWS::SNS::Subscription", "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy", "AWS::WAFv2::WebACLAssociation",
}  # fmt: skip
"""Types that cost nothing and are deleted with a resource of `RESOURCE_TYPES`."""


def is_covered(type: str) -> bool:
    """Return whether leftovers of a CloudFormation type are found. A custom resource is only a function call."""
    return type in PARTS or type.startswith("Custom::") or any(type == row.type for row in RESOURCE_TYPES)
