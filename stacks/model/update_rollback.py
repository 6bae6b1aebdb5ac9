"""An update of the endpoint that is watched: both fleets run for a while, and an alarm brings the old one back."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from stacks.model.metrics import Metrics

Endpoint = sagemaker.CfnEndpoint
BAKE_SECONDS = 600
LIMIT_SECONDS = 3600
"""For the start of the new fleet and the watch over it."""
JOBS = {"NotLoading": "config_error", "NotDrawing": "model_error", "Crashing": "container_died"}
"""What our functions count of failed pictures: codes that tell of the release, and none that tells of load."""


class Rollback(Construct):
    """`config` for the endpoint called `endpoint`. Its alarms are silent where nobody calls.

    SageMaker's count of 5xx is not watched: a container that is well answers 503 to calls beyond its queue, and each
    job calls up to three times, so that under load most calls of a minute may be refused. A death is what our functions
    read from SageMaker's words; `Unanswered` is for one of which no job tells, in mode realtime, the only one with that
    metric. It is 1 or 0 for each call, so its average is the share that failed, and only all of them in two times three
    minutes ring: a busy container answers one a minute, and a large model is loaded by then. Of metric math SageMaker's
    guide says nothing for these alarms; of an average it has an example (Auto-Rollback Configuration and Monitoring).
    """

    def __init__(self, scope: Construct, id: str, *, endpoint: str, variant: str) -> None:
        super().__init__(scope, id)
        metrics = Metrics(endpoint, variant)
        watched = {id: metrics.easel("JobErrors", "code", code, "Sum") for id, code in JOBS.items()}
        watched["Refusing"] = metrics.calls("Invocation4XXErrors")
        alarms = [self._alarm(id, metric) for id, metric in watched.items()]
        alarms.append(self._alarm("Unanswered", metrics.calls("InvocationModelErrors", "Average"), minutes=3, times=2))
        self.config = _watched([alarm.alarm_name for alarm in alarms])

    def _alarm(self, id: str, metric: cloudwatch.Metric, minutes: int = 1, times: int = 1) -> cloudwatch.Alarm:
        return cloudwatch.Alarm(
            self,
            id,
            alarm_description="The container fails. During an update SageMaker goes back to the release before; at "
            "other times run `easel doctor`, which reads the container's last lines.",
            metric=metric.with_(period=Duration.minutes(minutes)),
            evaluation_periods=times,
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
