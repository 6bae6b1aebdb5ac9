"""The policy of the person who deploys: the CDK's roles, and what the `easel` commands call with the person's rights.

The CDK does everything else with its own roles. A test compares the actions with the calls in easel/cloud/.
"""

from __future__ import annotations

from collections.abc import Iterator

from easel.cloud.policies.assembly import ANY, Assembly
from easel.cloud.policies.documents import Statement, allow
from easel.cloud.policies.patterns import GLOBAL, generated_name
from stacks.config.names import FAILED_STARTS, STOP_MARKER, Names

READ = (
    "acm:DescribeCertificate", "application-autoscaling:DescribeScalableTargets", "budgets:ViewBudget",
    "cloudformation:DescribeStackEvents", "cloudformation:DescribeStacks", "cloudformation:GetTemplate",
    "cloudformation:ListStackResources", "cloudfront:ListDistributions", "cloudwatch:DescribeAlarms",
    "cloudwatch:GetMetricStatistics", "cloudwatch:ListDashboards", "cloudwatch:ListTagsForResource",
    "codebuild:ListProjects", "cognito-idp:DescribeUserPool", "cognito-idp:ListUserPools",
    "dynamodb:ListTables",
    "ec2:DescribeRegions", "ec2:DescribeRouteTables", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets",
    "ec2:DescribeVpcEndpoints", "events:ListRules", "iam:ListRoles", "kms:DescribeKey", "kms:GetKeyPolicy",
    "kms:ListKeys", "lambda:GetAccountSettings", "lambda:GetLayerVersion", "lambda:ListFunctions",
    "logs:DescribeLogGroups", "pricing:GetProducts",
    "s3:ListAllMyBuckets", "sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig",
    "sagemaker:DescribeNotebookInstance", "sagemaker:ListEndpointConfigs", "sagemaker:ListEndpoints",
    "sagemaker:ListModels", "sagemaker:ListNotebookInstances", "sagemaker:ListTags", "secretsmanager:DescribeSecret",
    "secretsmanager:ListSecrets", "servicequotas:ListAWSDefaultServiceQuotas",
    "servicequotas:ListRequestedServiceQuotaChangeHistoryByQuota", "servicequotas:ListServiceQuotas",
    "sns:ListTopics", "sqs:ListQueues", "tag:GetResources", "wafv2:GetWebACL", "wafv2:ListWebACLs",
    "xray:GetTraceSummaries",
)  # fmt: skip
"""`easel doctor`, `leftovers`, `outputs`: descriptions of resources. No action here reads what a resource holds."""
REQUEST = ("servicequotas:RequestServiceQuotaIncrease",)
"""`easel doctor --request`."""
SCALING = ("application-autoscaling:PutScalingPolicy", "application-autoscaling:RegisterScalableTarget")
ALARMS = ("cloudwatch:DeleteAlarms", "cloudwatch:PutMetricAlarm")
"""`easel resume` restores the scaling. Application Auto Scaling calls CloudWatch and SageMaker with the same rights."""
ENDPOINT = (
    "sagemaker:AddTags", "sagemaker:CreateEndpoint", "sagemaker:DeleteEndpoint",
    "sagemaker:UpdateEndpointWeightsAndCapacities",
)  # fmt: skip
KEYS = ("dynamodb:DescribeTable", "dynamodb:PutItem", "dynamodb:Scan")
"""`easel keys`, and the check of the doctor."""
LOGS = ("logs:DescribeLogStreams", "logs:FilterLogEvents", "logs:GetLogEvents")


def deployer_statements(assembly: Assembly) -> list[Statement]:
    """Return the statements."""
    name = assembly.name
    return [
        allow(["sts:AssumeRole"], assembly.cdk_roles),
        allow((*READ, *REQUEST, *SCALING), [ANY]),
        allow(["apigateway:GET"], [assembly.arn("apigateway", "/*", account="")]),
        allow(LOGS, _log_groups(assembly, name)),
        allow(["s3:GetEncryptionConfiguration", "s3:ListBucket"], _buckets(assembly)),
        allow(["s3:DeleteObject", "s3:GetObject"], [f"{bucket}/{STOP_MARKER}" for bucket in _buckets(assembly)]),
        allow(["s3:GetObject"], [f"{bucket}/{FAILED_STARTS}*" for bucket in _buckets(assembly)]),
        allow(
            KEYS,
            [assembly.arn("dynamodb", f"table/{generated_name(stack, 'dynamodb')}") for stack in _storage(assembly)],
        ),
        allow(["ssm:GetParameter"], [assembly.arn("ssm", "parameter/cdk-bootstrap/*")]),
        allow(ALARMS, [assembly.arn("cloudwatch", f"alarm:TargetTracking-endpoint/{name}-*")]),
        allow(
            ENDPOINT, [assembly.arn("sagemaker", f"endpoint/{name}-*"), assembly.arn("sagemaker", "endpoint-config/*")]
        ),
        *_signed_calls(assembly),
    ]


def _log_groups(assembly: Assembly, name: str) -> list[str]:
    """Return the log groups of the containers, of the functions and of the model import."""
    stacks = [group for stack in assembly.templates for group in (generated_name(stack, "logs"), f"/easel/{stack}/*")]
    return [assembly.arn("logs", f"log-group:{group}") for group in (f"/aws/sagemaker/Endpoints/{name}-*", *stacks)]


def _storage(assembly: Assembly) -> list[str]:
    return [stack for stack in assembly.templates if stack == Names(assembly.name).storage]


def _buckets(assembly: Assembly) -> list[str]:
    return [assembly.arn("s3", generated_name(stack, "s3"), **GLOBAL["s3"]) for stack in assembly.templates]


def _signed_calls(assembly: Assembly) -> Iterator[Statement]:
    """Yield the call of the API, if its callers sign with IAM."""
    methods = assembly.properties("AWS::ApiGateway::Method")
    if any(method.get("AuthorizationType") == "AWS_IAM" for _, method in methods):
        yield allow(["execute-api:Invoke"], [assembly.arn("execute-api", "*/v1/*")])
