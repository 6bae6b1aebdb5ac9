"""What a stack of Easel can leave behind: one table of types, how each is found, what it costs, how it goes.

`KINDS` are looked for by `easel leftovers`; `FREE` cost nothing and go with what they are part of. A test walks the
templates: each type in them is in one of both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from easel.cloud.account import Account, explained
from stacks.config.prices import HOURS_PER_MONTH, USD_PER_HOUR, USD_PER_MONTH

GB = 10**9
PAGES = 10
"""So many pages of 1,000 objects of a bucket are counted."""

Item = Mapping[str, Any]
Price = Callable[[Account, str, Item], tuple[float | None, str]]
"""(account, region, item) to USD per month (None: nobody can say) and a note."""


def _free(account: Account, region: str, item: Item) -> tuple[float, str]:
    return 0.0, ""


def _flat(name: str) -> Price:
    return lambda account, region, item: (USD_PER_MONTH[name], "")


def _stored(account: Account, region: str, item: Item) -> tuple[float, str]:
    size = item.get("storedBytes", 0)
    return size / GB * USD_PER_MONTH["log_gb"], f"{size / GB:.2f} GB" if size else ""


def _endpoint(account: Account, region: str, item: Item) -> tuple[float | None, str]:
    client, name = account.client("sagemaker", region), item["EndpointName"]
    with explained():
        told = client.describe_endpoint(EndpointName=name)
        config = client.describe_endpoint_config(EndpointConfigName=told["EndpointConfigName"])
    running = _running(told, config["ProductionVariants"][0])
    note = f"{told['EndpointStatus']}, {', '.join(f'{count} x {kind}' for kind, count in running.items())}"
    if any(count and kind not in USD_PER_HOUR for kind, count in running.items()):
        return None, f"{note}, of unknown price"
    return sum(USD_PER_HOUR[kind] * count * HOURS_PER_MONTH for kind, count in running.items() if count), note


def _running(told: Item, configured: Item) -> dict[str, int]:
    """Instances by type. An endpoint with fallbacks tells of each type by itself."""
    variants = told.get("ProductionVariants", ())
    if "InstanceType" in configured:
        return {configured["InstanceType"]: sum(one.get("CurrentInstanceCount", 0) for one in variants)}
    pools = [pool for one in variants for pool in one.get("InstancePools", ())]
    counts = dict.fromkeys((pool["InstanceType"] for pool in configured["InstancePools"]), 0)
    return counts | {pool["InstanceType"]: pool["CurrentInstanceCount"] for pool in pools}


def _notebook(account: Account, region: str, item: Item) -> tuple[float | None, str]:
    with explained():
        told = account.client("sagemaker", region).describe_notebook_instance(
            NotebookInstanceName=item["NotebookInstanceName"]
        )
    kind, size, status = told["InstanceType"], told.get("VolumeSizeInGB", 5), told["NotebookInstanceStatus"]
    disk, note = size * USD_PER_MONTH["notebook_gb"], f"{status}, {kind}, {size} GB"
    if status == "Stopped":
        return disk, note
    return (USD_PER_HOUR[kind] * HOURS_PER_MONTH + disk, note) if kind in USD_PER_HOUR else (None, note)


def _bucket(account: Account, region: str, item: Item) -> tuple[float, str]:
    client, size, count = account.client("s3", region), 0, 0
    token: dict[str, str] = {}
    for _ in range(PAGES):
        with explained():
            page = client.list_objects_v2(Bucket=item["Name"], **token)
        size += sum(one["Size"] for one in page.get("Contents", ()))
        count += page["KeyCount"]
        token = {"ContinuationToken": page["NextContinuationToken"]} if page["IsTruncated"] else {}
        if not token:
            break
    least = "at least " if token else ""
    return size / GB * USD_PER_MONTH["s3_gb"], f"{least}{count} objects, {size / GB:.2f} GB"


def _key(account: Account, region: str, item: Item) -> tuple[float, str]:
    with explained():
        state = account.client("kms", region).describe_key(KeyId=item["KeyId"])["KeyMetadata"]["KeyState"]
    return 0.0 if state == "PendingDeletion" else USD_PER_MONTH["kms_key"], state


def _web_acl(account: Account, region: str, item: Item) -> tuple[float, str]:
    with explained():
        asked = {"Name": item["Name"], "Id": item["Id"], "Scope": "REGIONAL"}
        rules = len(account.client("wafv2", region).get_web_acl(**asked)["WebACL"].get("Rules", ()))
    return USD_PER_MONTH["web_acl"] + rules * USD_PER_MONTH["web_acl_rule"], f"{rules} rules"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """`call` is service, operation and the member of its answer; `name` and `arn` are keys of an item."""

    type: str
    """As CloudFormation calls it."""
    call: tuple[str, str, str]
    name: str = ""
    """Empty: the item is the name, or a URL that ends with it."""
    arn: str = ""
    price: Price = _free
    remove: str
    """The command that takes it away."""
    everywhere: bool = False
    """Of the account and no region."""
    asked: Mapping[str, Any] = field(default_factory=dict)
    also: str = ""
    """One more key whose text may say that it is ours."""


SAGEMAKER = "AWS::SageMaker::"
KINDS = (
    Kind(type="AWS::CloudFormation::Stack", call=("cloudformation", "describe_stacks", "Stacks"), name="StackName",
         arn="StackId", remove="npx cdk destroy {name}"),
    Kind(type=f"{SAGEMAKER}Endpoint", call=("sagemaker", "list_endpoints", "Endpoints"), name="EndpointName",
         arn="EndpointArn", price=_endpoint, remove="aws sagemaker delete-endpoint --endpoint-name {name}"),
    Kind(type=f"{SAGEMAKER}EndpointConfig", call=("sagemaker", "list_endpoint_configs", "EndpointConfigs"),
         name="EndpointConfigName", arn="EndpointConfigArn",
         remove="aws sagemaker delete-endpoint-config --endpoint-config-name {name}"),
    Kind(type=f"{SAGEMAKER}Model", call=("sagemaker", "list_models", "Models"), name="ModelName", arn="ModelArn",
         remove="aws sagemaker delete-model --model-name {name}"),
    Kind(type=f"{SAGEMAKER}NotebookInstance", call=("sagemaker", "list_notebook_instances", "NotebookInstances"),
         name="NotebookInstanceName", arn="NotebookInstanceArn", price=_notebook,
         remove="stop it in the console, then: aws sagemaker delete-notebook-instance "
         "--notebook-instance-name {name}"),
    Kind(type="AWS::ApplicationAutoScaling::ScalableTarget",
         call=("application-autoscaling", "describe_scalable_targets", "ScalableTargets"), name="ResourceId",
         asked={"ServiceNamespace": "sagemaker"},
         remove="aws application-autoscaling deregister-scalable-target --service-namespace sagemaker "
         "--scalable-dimension sagemaker:variant:DesiredInstanceCount --resource-id {name}"),
    Kind(type="AWS::S3::Bucket", call=("s3", "list_buckets", "Buckets"), name="Name", price=_bucket,
         remove="aws s3 rb --force s3://{name}"),
    Kind(type="AWS::KMS::Key", call=("kms", "list_keys", "Keys"), name="KeyId", arn="KeyArn", price=_key,
         remove="aws kms schedule-key-deletion --pending-window-in-days 7 --key-id {name}"),
    Kind(type="AWS::CloudFront::Distribution", call=("cloudfront", "list_distributions", "DistributionList.Items"),
         name="Id", arn="ARN", also="Comment", everywhere=True,
         remove="disable it in the console, then: aws cloudfront delete-distribution --id {name} --if-match …"),
    Kind(type="AWS::WAFv2::WebACL", call=("wafv2", "list_web_acls", "WebACLs"), name="Name", arn="ARN",
         asked={"Scope": "REGIONAL"}, also="Description", price=_web_acl, remove="delete {name} in the console of WAF"),
    Kind(type="AWS::Logs::LogGroup", call=("logs", "describe_log_groups", "logGroups"), name="logGroupName",
         arn="arn", price=_stored, remove="aws logs delete-log-group --log-group-name {name}"),
    Kind(type="AWS::CloudWatch::Alarm", call=("cloudwatch", "describe_alarms", "MetricAlarms"), name="AlarmName",
         arn="AlarmArn", price=_flat("alarm"), remove="aws cloudwatch delete-alarms --alarm-names {name}"),
    Kind(type="AWS::CloudWatch::CompositeAlarm", call=("cloudwatch", "describe_alarms", "CompositeAlarms"),
         name="AlarmName", arn="AlarmArn", asked={"AlarmTypes": ["CompositeAlarm"]}, price=_flat("alarm"),
         remove="aws cloudwatch delete-alarms --alarm-names {name}"),
    Kind(type="AWS::CloudWatch::Dashboard", call=("cloudwatch", "list_dashboards", "DashboardEntries"),
         name="DashboardName", arn="DashboardArn", price=_flat("dashboard"), everywhere=True,
         remove="aws cloudwatch delete-dashboards --dashboard-names {name}"),
    Kind(type="AWS::Budgets::Budget", call=("budgets", "describe_budgets", "Budgets"), name="BudgetName",
         everywhere=True, remove="aws budgets delete-budget --account-id … --budget-name {name}"),
    Kind(type="AWS::SNS::Topic", call=("sns", "list_topics", "Topics"), name="TopicArn", arn="TopicArn",
         remove="aws sns delete-topic --topic-arn {name}"),
    Kind(type="AWS::SQS::Queue", call=("sqs", "list_queues", "QueueUrls"),
         remove="aws sqs delete-queue --queue-url {name}"),
    Kind(type="AWS::CodeBuild::Project", call=("codebuild", "list_projects", "projects"),
         remove="aws codebuild delete-project --name {name}"),
    Kind(type="AWS::SecretsManager::Secret", call=("secretsmanager", "list_secrets", "SecretList"), name="Name",
         arn="ARN", price=_flat("secret"),
         remove="aws secretsmanager delete-secret --force-delete-without-recovery --secret-id {name}"),
    Kind(type="AWS::Lambda::Function", call=("lambda", "list_functions", "Functions"), name="FunctionName",
         arn="FunctionArn", remove="aws lambda delete-function --function-name {name}"),
    Kind(type="AWS::ApiGateway::RestApi", call=("apigateway", "get_rest_apis", "items"), name="id",
         also="description", remove="aws apigateway delete-rest-api --rest-api-id {name}"),
    Kind(type="AWS::ApiGateway::DomainName", call=("apigateway", "get_domain_names", "items"), name="domainName",
         remove="aws apigateway delete-domain-name --domain-name {name}"),
    Kind(type="AWS::ApiGateway::ApiKey", call=("apigateway", "get_api_keys", "items"), name="id", also="name",
         remove="aws apigateway delete-api-key --api-key {name}"),
    Kind(type="AWS::ApiGateway::UsagePlan", call=("apigateway", "get_usage_plans", "items"), name="id", also="name",
         remove="aws apigateway delete-usage-plan --usage-plan-id {name}"),
    Kind(type="AWS::Events::Rule", call=("events", "list_rules", "Rules"), name="Name", arn="Arn",
         remove="remove its targets, then: aws events delete-rule --name {name}"),
    Kind(type="AWS::IAM::Role", call=("iam", "list_roles", "Roles"), name="RoleName", arn="Arn", everywhere=True,
         remove="delete {name} in the console of IAM"),
)  # fmt: skip

FREE = {
    "AWS::ApiGateway::BasePathMapping", "AWS::Route53::RecordSet",
    "AWS::ApiGateway::Deployment", "AWS::ApiGateway::GatewayResponse", "AWS::ApiGateway::Method",
    "AWS::ApiGateway::Resource", "AWS::ApiGateway::Stage", "AWS::ApiGateway::UsagePlanKey",
    "AWS::ApplicationAutoScaling::ScalingPolicy", "AWS::CDK::Metadata", "AWS::CloudFront::CachePolicy",
    "AWS::CloudFront::Function", "AWS::CloudFront::OriginAccessControl", "AWS::CloudFront::OriginRequestPolicy",
    "AWS::CloudFront::ResponseHeadersPolicy", "AWS::EC2::SecurityGroupIngress",
    "AWS::IAM::Policy", "AWS::KMS::Alias", "AWS::Lambda::EventInvokeConfig", "AWS::Lambda::Permission",
    "AWS::Logs::MetricFilter", "AWS::S3::BucketPolicy",
    "AWS::SageMaker::NotebookInstanceLifecycleConfig", "AWS::SNS::Subscription", "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy", "AWS::WAFv2::WebACLAssociation",
}  # fmt: skip
"""Parts of what `KINDS` has, which go with it."""


def known(type: str) -> bool:
    """Custom resources are calls of functions: nothing by themselves."""
    return type in FREE or type.startswith("Custom::") or any(type == kind.type for kind in KINDS)
