"""A function that stops the endpoint at 100 % of the budget, and keeps it stopped until `easel resume`."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.common.failures import LostEvents, alert, errors_of
from stacks.common.function import CUSTOM_RESOURCES, Function, package_code
from stacks.common.grants import (
    allow,
    allow_listing,
    allow_objects,
    allow_on_all_of_type,
    allow_on_any_resource,
)
from stacks.common.kms_key import allow_key
from stacks.config.names import STOP_MARKER
from stacks.model.endpoint import VARIANT, Endpoint
from stacks.model.idle_guard import DEREGISTER_REASON
from stacks.storage.stack import StorageStack

CHECK_INTERVAL = Duration.minutes(5)
"""A deploy meanwhile may start an instance, which runs for this long at most."""
RETRY_TIME = Duration.minutes(4)
"""Less than `CHECK_INTERVAL`: the next check is a retry as well."""
_STOP_YOURSELF = (
    "in mode realtime run `easel pause`, in mode async `npx cdk deploy EaselModel -c endpoint=off` with your other "
    "settings."
)
DESCRIPTIONS = {
    "BudgetStopFailing": "The function that stops the endpoint at 100 % of the budget failed twice in a row, so "
    "instances may be billed beyond it. Its log says why. If `easel doctor` says that the budget is used up: "
    f"{_STOP_YOURSELF}",
    "BudgetStopLost": "The budget is used up, and the function that stops the endpoint has given up on the notice, so "
    f"instances may be billed beyond the budget: {_STOP_YOURSELF} Then read the message in the queue of EaselModel, "
    "fix the cause that the function's log names, and purge the queue. `easel doctor` says what is wrong otherwise.",
}
"""Alarm to the text of the mail."""
_SCALING_REASON = "The id of a scalable target is not known in advance, and the condition limits them to SageMaker's"


class BudgetStop(Construct):
    """The function that AWS Budgets calls by a topic when the budget is used up."""

    def __init__(self, scope: Construct, id: str, *, endpoints: Sequence[Endpoint], storage: StorageStack) -> None:
        super().__init__(scope, id)
        settings, bucket, alerts = endpoints[0].settings, storage.bucket, storage.alerts.topic
        lost = LostEvents(self, "Lost")
        stop = self._function(endpoints, storage, lost)
        _allow_stop(stop.role, endpoints)
        allow_objects(stop.role, bucket, ["s3:GetObject", "s3:PutObject"], STOP_MARKER)
        allow_listing(stop.role, bucket, STOP_MARKER)
        allow(stop.role, ["sns:Publish"], [alerts.topic_arn])
        for service in ("sns", "sqs"):
            allow_key(stop.role, endpoints[0].key, service)
        storage.alerts.used_up.add_subscription(subscriptions.LambdaSubscription(stop.function, dead_letter_queue=lost))
        events.Rule(
            self,
            "Schedule",
            description=f"Keeps the endpoint of {settings.names.prefix} stopped while its budget is used up",
            schedule=events.Schedule.rate(CHECK_INTERVAL),
            targets=[targets.LambdaFunction(stop.function, retry_attempts=3, max_event_age=RETRY_TIME)],
        )
        texts = {name: settings.names.in_commands(text) for name, text in DESCRIPTIONS.items()}
        visible = lost.metric_approximate_number_of_messages_visible(statistic="Maximum")
        alert(self, "Failing", errors_of([stop.function], CHECK_INTERVAL), alerts, texts["BudgetStopFailing"], 2)
        alert(self, "LostNotice", visible, alerts, texts["BudgetStopLost"])

    def _function(self, endpoints: Sequence[Endpoint], storage: StorageStack, lost: sqs.IQueue) -> Function:
        settings = endpoints[0].settings
        return Function(
            self,
            "Stop",
            code=package_code(CUSTOM_RESOURCES),
            handler="custom_resources.budget_stop.handler",
            memory_mb=256,
            seconds=60,
            log_days=settings.log_days,
            environment={
                "EASEL_NAME": settings.name,
                "EASEL_ENDPOINTS": ",".join(endpoint.name for endpoint in endpoints),
                "EASEL_VARIANT": VARIANT,
                "EASEL_MODE": settings.mode,
                "EASEL_BUCKET": storage.bucket.bucket_name,
                "EASEL_BUDGET_USD": str(settings.budget_usd),
                "EASEL_ALERTS": storage.alerts.topic.topic_arn,
            },
            async_invoke=lambda_.EventInvokeConfigOptions(
                on_failure=destinations.SqsDestination(lost), retry_attempts=2
            ),
        )


def _allow_stop(role: iam.Role, endpoints: Sequence[Endpoint]) -> None:
    """Allow what takes an endpoint's instances: deletion in mode realtime, else a capacity of zero that stays."""
    arns = [endpoint.arn for endpoint in endpoints]
    allow(role, ["sagemaker:DescribeEndpoint"], arns)
    if not endpoints[0].async_output:
        allow(role, ["sagemaker:DeleteEndpoint"], arns)
        deregister = ["application-autoscaling:DeregisterScalableTarget"]
        allow_on_any_resource(role, deregister, reason=DEREGISTER_REASON)
        return
    allow(role, ["sagemaker:UpdateEndpointWeightsAndCapacities"], arns)
    allow_on_all_of_type(
        role,
        ["application-autoscaling:RegisterScalableTarget"],
        service="application-autoscaling",
        resource_type="scalable-target",
        reason=_SCALING_REASON,
        conditions={"StringEquals": {"application-autoscaling:service-namespace": "sagemaker"}},
    )
