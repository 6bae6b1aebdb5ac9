"""A scheduled function that deletes an idle realtime endpoint, which cannot scale to zero and is always billed."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from constructs import Construct

from stacks.common.function import CUSTOM_RESOURCES, Function, package_code
from stacks.common.grants import allow, allow_on_any_resource
from stacks.common.kms_key import allow_key
from stacks.model.endpoint import VARIANT, Endpoint

CHECK_INTERVAL = Duration.minutes(15)
_DEREGISTER_REASON = (
    "Deleting an endpoint needs the right to deregister its scalable target, whose ARN is not known in advance"
)


class IdleGuard(Construct):
    """Deletes the endpoint after `idle_hours` without a request, and keeps its configuration for `easel resume`."""

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
        _allow_delete(guard.role, endpoint, topic)
        events.Rule(
            self,
            "Schedule",
            description="Checks whether Easel's endpoint is idle",
            schedule=events.Schedule.rate(CHECK_INTERVAL),
            targets=[targets.LambdaFunction(guard.function, retry_attempts=0)],
        )


def _allow_delete(role: iam.Role, endpoint: Endpoint, topic: sns.ITopic) -> None:
    sagemaker = {"StringEquals": {"application-autoscaling:service-namespace": "sagemaker"}}
    deregister = ["application-autoscaling:DeregisterScalableTarget"]
    allow(role, ["sagemaker:DescribeEndpoint", "sagemaker:DeleteEndpoint"], [endpoint.arn])
    allow(role, ["sns:Publish"], [topic.topic_arn])
    allow_key(role, endpoint.key, "sns")
    allow_on_any_resource(
        role, ["cloudwatch:GetMetricStatistics"], reason="IAM cannot limit reading metrics to a resource"
    )
    allow_on_any_resource(role, deregister, reason=_DEREGISTER_REASON, conditions=sagemaker)
