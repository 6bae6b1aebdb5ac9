"""An update of the endpoint that is watched: both fleets run for a while, and an alarm brings the old one back."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

Endpoint = sagemaker.CfnEndpoint
BAKE_SECONDS = 600
LIMIT_SECONDS = 3600
"""For the start of the new fleet and the watch over it."""
METRICS = {"Refusing": "Invocation4XXErrors", "Crashing": "Invocation5XXErrors"}
"""Any of them is a broken release: our container answers every error as data, with status 200."""


class Rollback(Construct):
    """`config` for the endpoint called `endpoint`. Its alarms are silent where nobody calls."""

    def __init__(self, scope: Construct, id: str, *, endpoint: str, variant: str) -> None:
        super().__init__(scope, id)
        where = {"EndpointName": endpoint, "VariantName": variant}
        self.alarms = [self._alarm(id, metric, where) for id, metric in METRICS.items()]
        self.config = _watched([alarm.ref for alarm in self.alarms])

    def _alarm(self, id: str, metric: str, where: dict[str, str]) -> cloudwatch.CfnAlarm:
        dimensions = [cloudwatch.CfnAlarm.DimensionProperty(name=name, value=value) for name, value in where.items()]
        return cloudwatch.CfnAlarm(
            self,
            id,
            alarm_description="The container fails. During an update SageMaker goes back to the release before; at "
            "other times run `easel doctor`, which reads the container's last lines.",
            namespace="AWS/SageMaker",
            metric_name=metric,
            dimensions=dimensions,
            statistic="Sum",
            period=60,
            evaluation_periods=1,
            threshold=1,
            comparison_operator="GreaterThanOrEqualToThreshold",
            treat_missing_data="notBreaching",
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
