"""A fake AWS with a deployed Easel, for the tests of `easel doctor`, `pause` and `resume`."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

from easel.cloud.pause import EndpointSwitch
from easel.console.terminal import Terminal
from tests.easel.cloud.fake_aws import ACCOUNT, REGION, FakeAws, client_error

NAME, CONFIG = "easel-realtime0a1b2c-0123", "EndpointConfig1A2B-XyZ"
NOW = datetime(2026, 11, 24, tzinfo=UTC)
ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
TAGS = [{"Key": "easel:app", "Value": "easel"}, {"Key": "aws:cloudformation:stack-name", "Value": "EaselModel"}]
QUOTA = {"QuotaName": "ml.m5.large for endpoint usage", "QuotaCode": "L-1", "Value": 2.0}

TEMPLATE = {
    "Resources": {
        "Policy": {
            "Type": "AWS::ApplicationAutoScaling::ScalingPolicy",
            "Properties": {
                "PolicyName": "Tracking",
                "PolicyType": "TargetTrackingScaling",
                "ScalingTargetId": {"Ref": "Target"},
                "TargetTrackingScalingPolicyConfiguration": {"TargetValue": 1},
            },
        },
        "Target": {
            "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
            "Properties": {"MinCapacity": 1, "MaxCapacity": 3, "ResourceId": {"Fn::Join": ["/", []]}},
        },
        "Config": {"Type": "AWS::SageMaker::EndpointConfig"},
    }
}
"""The part of the template that `resume` reads. tests/stacks compares it with the real template."""


class FakeDeployment(FakeAws):
    """A deployed realtime Easel. `states` are the endpoint's next states, one for each call; the last stays."""

    def __init__(self, *states: str, mode: str = "realtime") -> None:
        super().__init__()
        self.states, self.states_after_create, self.failure_reason = list(states), ["Creating", "InService"], ""
        variant = {"VariantName": "AllTraffic", "ModelName": "m", "InstanceType": "ml.g5.xlarge"}
        config: dict[str, Any] = {
            "EndpointConfigName": CONFIG,
            "EndpointConfigArn": f"{ARN}:endpoint-config/{CONFIG.lower()}",
            "ProductionVariants": [{**variant, "InitialInstanceCount": 1}],
            "CreationTime": NOW,
        }
        if mode == "async":
            config["AsyncInferenceConfig"] = {"OutputConfig": {"S3OutputPath": "s3://b/answers"}}
        summary = {key: config[key] for key in ("EndpointConfigName", "EndpointConfigArn", "CreationTime")}
        self.responses |= {
            "cloudformation.DescribeStacks": {"Stacks": [stack("UPDATE_COMPLETE")]},
            "cloudformation.ListStackResources": {"StackResourceSummaries": [*resources()]},
            "cloudformation.GetTemplate": {"TemplateBody": json.dumps(TEMPLATE)},
            "sagemaker.ListEndpointConfigs": {"EndpointConfigs": [summary]},
            "sagemaker.DescribeEndpointConfig": config,
            "sagemaker.ListTags": {"Tags": TAGS},
            "sagemaker.DescribeEndpoint": self.describe,
            "sagemaker.DeleteEndpoint": self.delete,
            "sagemaker.CreateEndpoint": self.create,
            "sagemaker.UpdateEndpointWeightsAndCapacities": {"EndpointArn": f"{ARN}:endpoint/{NAME}"},
            "application-autoscaling.RegisterScalableTarget": {},
            "application-autoscaling.PutScalingPolicy": {"PolicyARN": "arn"},
        }

    def describe(self, _: Any) -> Any:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if state == "gone":
            return client_error("ValidationException", f'Could not find endpoint "{ARN}:endpoint/{NAME}".')
        names = {"EndpointName": NAME, "EndpointArn": f"{ARN}:endpoint/{NAME}", "EndpointConfigName": CONFIG}
        response = {**names, "CreationTime": NOW, "LastModifiedTime": NOW, "EndpointStatus": state}
        return {**response, **({"FailureReason": self.failure_reason} if self.failure_reason else {})}

    def delete(self, _: Any) -> Any:
        self.states = ["Deleting", "gone"]
        return {}

    def create(self, _: Any) -> Any:
        self.states = [*self.states_after_create]
        return {"EndpointArn": f"{ARN}:endpoint/{NAME}"}

    def stop_by_budget(self) -> None:
        """Put the marker into the bucket that the function of `budget_action=stop` writes."""
        outputs = [{"OutputKey": "BucketName", "OutputValue": "store"}]
        storage = {**stack("CREATE_COMPLETE", "EaselStorage"), "Outputs": outputs}
        body = json.dumps({"stopped_at": "2026-11-24T08:00:00+00:00"}).encode()
        self.responses |= {
            "cloudformation.DescribeStacks": {"Stacks": [stack("UPDATE_COMPLETE"), storage]},
            "s3.GetObject": lambda _: {"Body": BytesIO(body)},
            "s3.DeleteObject": {},
        }

    def switch(self, minutes: int = 5) -> EndpointSwitch:
        return EndpointSwitch(self.account(), minutes, Terminal(), sleep=lambda _: None)


def stack(status: str, name: str = "EaselModel") -> dict[str, Any]:
    return {"StackName": name, "CreationTime": NOW, "StackStatus": status}


def resources() -> list[dict[str, Any]]:
    """The endpoint and two configurations: an update could not delete the older one."""
    rows = [
        ("Endpoint", f"{ARN}:endpoint/{NAME}", "CREATE_COMPLETE"),
        ("EndpointConfig", f"{ARN}:endpoint-config/{CONFIG.lower()}", "CREATE_COMPLETE"),
        ("EndpointConfig", f"{ARN}:endpoint-config/old", "DELETE_FAILED"),
    ]
    return [
        {
            "LogicalResourceId": f"{kind}{i}",
            "PhysicalResourceId": id,
            "ResourceType": f"AWS::SageMaker::{kind}",
            "ResourceStatus": status,
            "LastUpdatedTimestamp": NOW,
        }
        for i, (kind, id, status) in enumerate(rows)
    ]


def healthy_deployment() -> FakeDeployment:
    """Return an account that is bootstrapped, has quotas, and has an endpoint in service."""
    aws = FakeDeployment("InService")
    aws.responses |= {
        "sts.GetCallerIdentity": {"Account": ACCOUNT, "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/dev/me"},
        "pricing.GetProducts": price_list("EU-AsyncInf:ml.m5.large", "EU-Host:ml.m5.large"),
        "service-quotas.ListServiceQuotas": {"Quotas": [QUOTA]},
        "service-quotas.ListAWSDefaultServiceQuotas": {"Quotas": []},
        "service-quotas.ListRequestedServiceQuotaChangeHistoryByQuota": {"RequestedQuotas": []},
        "lambda.GetAccountSettings": concurrency(1000),
        "ssm.GetParameter": {"Parameter": {"Value": "33"}},
        "budgets.DescribeBudgets": {"Budgets": []},
        "cloudwatch.DescribeAlarms": {"MetricAlarms": []},
        "logs.DescribeLogStreams": {"logStreams": [{"logStreamName": "AllTraffic/i-0"}]},
        "logs.GetLogEvents": log_events("loaded"),
    }
    return aws


def price_list(*usage_types: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a price list that filters as AWS does."""

    def respond(request: dict[str, Any]) -> dict[str, Any]:
        filters = {item["Field"]: item["Value"] for item in request["Filters"]}
        assert filters["regionCode"] == REGION
        return {"PriceList": [_product(usage_type) for usage_type in usage_types if filters["usagetype"] in usage_type]}

    return respond


def _product(usage_type: str, usd: str = "0.128") -> str:
    terms = {"OnDemand": {"a": {"priceDimensions": {"b": {"pricePerUnit": {"USD": usd}}}}}}
    return json.dumps({"product": {"attributes": {"usagetype": usage_type}}, "terms": terms})


def concurrency(unreserved: int, total: int = 1000) -> dict[str, Any]:
    return {"AccountLimit": {"UnreservedConcurrentExecutions": unreserved, "ConcurrentExecutions": total}}


def log_events(*lines: str) -> dict[str, Any]:
    return {"events": [{"timestamp": 1795500000000 + i * 1000, "message": line} for i, line in enumerate(lines)]}


def endpoint_response(config: str, status: str, **more: Any) -> dict[str, Any]:
    names = {"EndpointName": NAME, "EndpointArn": "a" * 20, "CreationTime": NOW, "LastModifiedTime": NOW}
    return {**names, "EndpointConfigName": config, "EndpointStatus": status, **more}
