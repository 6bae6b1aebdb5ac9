"""A scheduled function that deletes an idle realtime endpoint, which cannot scale to zero and is always billed."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
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
RETRY_TIME = Duration.minutes(10)
"""Less than `CHECK_INTERVAL`: the next check is a retry as well."""
ALARM = "IdleGuardFailing"
DESCRIPTION = (
    "Mode realtime: the idle guard failed twice in a row, so an idle endpoint may still be billed. Run `easel pause` "
    "to stop the costs. The log of the guard's function says why it fails; `easel doctor` says what is wrong otherwise."
)
DEREGISTER_REASON = (
    "Deleting an endpoint needs the right to deregister its scalable target, whose ARN is not known in advance. "
    "SageMaker makes the call for the guard, and AWS does not say which conditions that call satisfies"
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
                "EASEL_NAME": endpoint.settings.name,
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
            description=f"Checks whether the endpoint of {endpoint.settings.names.prefix} is idle",
            schedule=events.Schedule.rate(CHECK_INTERVAL),
            targets=[targets.LambdaFunction(guard.function, retry_attempts=3, max_event_age=RETRY_TIME)],
        )
        alarm = cloudwatch.Alarm(
            self,
            "Failing",
            metric=guard.function.metric_errors(period=CHECK_INTERVAL),
            threshold=1,
            evaluation_periods=2,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            alarm_description=endpoint.settings.names.in_commands(DESCRIPTION),
        )
        alarm.add_alarm_action(actions.SnsAction(topic))


def _allow_delete(role: iam.Role, endpoint: Endpoint, topic: sns.ITopic) -> None:
    deregister = ["application-autoscaling:DeregisterScalableTarget"]
    allow(role, ["sagemaker:DescribeEndpoint", "sagemaker:DeleteEndpoint"], [endpoint.arn])
    allow(role, ["sns:Publish"], [topic.topic_arn])
    allow_key(role, endpoint.key, "sns")
    allow_on_any_resource(
        role, ["cloudwatch:GetMetricStatistics"], reason="IAM cannot limit reading metrics to a resource"
    )
    allow_on_any_resource(role, deregister, reason=DEREGISTER_REASON)
