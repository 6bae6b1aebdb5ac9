"""Takes a realtime endpoint down that nobody calls: it cannot scale to zero, and is billed as long as it exists."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from constructs import Construct

from stacks.common.function import CUSTOM_RESOURCES, Function, package_code
from stacks.common.grants import allow, allow_anywhere
from stacks.common.own_key import allow_key
from stacks.model.endpoint import VARIANT, Endpoint

LOOKS_EVERY = Duration.minutes(15)
_FORGETTING = (
    "Whoever deletes an endpoint must be able to deregister its scalable target, whose ARN nobody knows before"
)


class IdleGuard(Construct):
    """Deletes the endpoint, and nothing of its configuration, after so many hours without a call."""

    def __init__(self, scope: Construct, id: str, *, endpoint: Endpoint, topic: sns.ITopic, log_days: int) -> None:
        super().__init__(scope, id)
        guard = Function(
            self,
            "Guard",
            code=package_code(CUSTOM_RESOURCES),
            handler="custom_resources.idle_guard.handler",
            memory_mb=256,
            seconds=60,
            log_days=log_days,
            environment={
                "EASEL_ENDPOINT": endpoint.name,
                "EASEL_VARIANT": VARIANT,
                "EASEL_IDLE_HOURS": str(endpoint.settings.idle_hours),
                "EASEL_ALERTS": topic.topic_arn,
            },
        )
        _let_delete(guard.role, endpoint, topic)
        events.Rule(
            self,
            "Clock",
            description="Looks whether Easel's endpoint is idle",
            schedule=events.Schedule.rate(LOOKS_EVERY),
            targets=[targets.LambdaFunction(guard.function, retry_attempts=0)],
        )


def _let_delete(role: iam.Role, endpoint: Endpoint, topic: sns.ITopic) -> None:
    sagemaker = {"StringEquals": {"application-autoscaling:service-namespace": "sagemaker"}}
    allow(role, ["sagemaker:DescribeEndpoint", "sagemaker:DeleteEndpoint"], [endpoint.arn])
    allow(role, ["sns:Publish"], [topic.topic_arn])
    allow_key(role, endpoint.key, "sns")
    allow_anywhere(role, ["cloudwatch:GetMetricStatistics"], "Metrics know no resource; it reads numbers")
    allow_anywhere(role, ["application-autoscaling:DeregisterScalableTarget"], _FORGETTING, sagemaker)
