"""An update of the endpoint that is watched: both fleets run for a while, and an alarm brings the old one back."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from stacks.parts.metrics import Metrics

Endpoint = sagemaker.CfnEndpoint
MINUTE = Duration.minutes(1)
BAKE_SECONDS = 600
LIMIT_SECONDS = 3600
"""For the start of the new fleet and the watch over it."""
CALLS = {"Refusing": "Invocation4XXErrors", "Crashing": "Invocation5XXErrors"}
"""What SageMaker counts. Our container answers every error as data, with status 200, so any of these is its end."""
JOBS = {"NotLoading": "config_error", "NotDrawing": "model_error"}
"""What our functions count of those answers: codes that no request brings about."""


class Rollback(Construct):
    """`config` for the endpoint called `endpoint`. Its alarms are silent where nobody calls."""

    def __init__(self, scope: Construct, id: str, *, endpoint: str, variant: str) -> None:
        super().__init__(scope, id)
        metrics = Metrics(endpoint, variant)
        watched = {id: metrics.calls(name) for id, name in CALLS.items()}
        watched |= {id: metrics.easel("JobErrors", "code", code, "Sum") for id, code in JOBS.items()}
        self.config = _watched([self._alarm(id, metric).alarm_name for id, metric in watched.items()])

    def _alarm(self, id: str, metric: cloudwatch.Metric) -> cloudwatch.Alarm:
        return cloudwatch.Alarm(
            self,
            id,
            alarm_description="The container fails. During an update SageMaker goes back to the release before; at "
            "other times run `easel doctor`, which reads the container's last lines.",
            metric=metric.with_(period=MINUTE),
            evaluation_periods=1,
            threshold=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )


def _watched(alarms: Sequence[str]) -> Endpoint.DeploymentConfigProperty:
    at_once = Endpoint.TrafficRoutingConfigProperty(type="ALL_AT_ONCE", wait_interval_in_seconds=BAKE_SECONDS)
    return Endpoint.DeploymentConfigProperty(
        auto_rollback_configuration=Endpoint.AutoRollbackConfigProperty(
            alarms=[Endpoint.AlarmProperty(alarm_name=name) for name in alarms]
        ),
        blue_green_update_policy=Endpoint.BlueGreenUpdatePolicyProperty(
            traffic_routing_configuration=at_once, maximum_execution_timeout_in_seconds=LIMIT_SECONDS
        ),
    )
