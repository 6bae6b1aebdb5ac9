"""A blue/green update of the endpoint, with the alarms that roll it back."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from stacks.config.names import Names
from stacks.model.metrics import Metrics

Endpoint = sagemaker.CfnEndpoint
BAKE_SECONDS = 600
"""How long both fleets run and the alarms are watched."""
LIMIT_SECONDS = 3600
"""Limit for the start of the new fleet and the watch."""
CODES = {"NotLoading": "config_error", "NotGenerating": "model_error", "Crashing": "container_died"}
"""Alarm id to the code of failed jobs that it counts. These codes mean a bad release; none of them means high load."""
_DESCRIPTION = (
    "The container fails. During an update SageMaker rolls back to the previous release. At other times run "
    "`easel doctor`, which reads the container's last log lines."
)


class UpdateRollback(Construct):
    """The alarms of the endpoint named `endpoint`, and its deployment configuration `config`.

    `model`: id of the model whose jobs count; empty: all jobs. While another model takes the place of the first, the
    API, which is deployed afterwards, still has the old one's id.

    Without traffic there is no alarm.

    `Refusing` counts responses 4xx. Responses 5xx are not counted: a healthy container responds 503 to requests beyond
    its queue, and each job sends up to three requests, so under load most requests of a minute may get 503.

    `Unanswered` is for a container that dies or hangs without failing a job. Its metric exists in mode realtime only
    and is 1 or 0 for each request, so the average is the share that failed. The alarm needs 100 % in two periods of
    three minutes: a busy container completes one request a minute, and a large model is loaded by then. SageMaker's
    guide has an example of an average in such alarms, and none of metric math (Auto-Rollback Configuration and
    Monitoring).
    """

    def __init__(self, scope: Construct, id: str, *, endpoint: str, variant: str, names: Names, model: str) -> None:
        super().__init__(scope, id)
        self._description = names.in_commands(_DESCRIPTION)
        metrics = Metrics(endpoint, variant, names.name)
        watched = {id: metrics.easel("JobErrors", "code", code, "Sum", model=model) for id, code in CODES.items()}
        watched["Refusing"] = metrics.invocations("Invocation4XXErrors")
        alarms = [self._alarm(id, metric) for id, metric in watched.items()]
        unanswered = metrics.invocations("InvocationModelErrors", "Average")
        alarms.append(self._alarm("Unanswered", unanswered, minutes=3, periods=2))
        self.config = _deployment_config([alarm.alarm_name for alarm in alarms])

    def _alarm(self, id: str, metric: cloudwatch.Metric, minutes: int = 1, periods: int = 1) -> cloudwatch.Alarm:
        return cloudwatch.Alarm(
            self,
            id,
            alarm_description=self._description,
            metric=metric.with_(period=Duration.minutes(minutes)),
            evaluation_periods=periods,
            threshold=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )


def _deployment_config(alarms: Sequence[str]) -> Endpoint.DeploymentConfigProperty:
    at_once = Endpoint.TrafficRoutingConfigProperty(type="ALL_AT_ONCE", wait_interval_in_seconds=BAKE_SECONDS)
    return Endpoint.DeploymentConfigProperty(
        auto_rollback_configuration=Endpoint.AutoRollbackConfigProperty(
            alarms=[Endpoint.AlarmProperty(alarm_name=name) for name in alarms]
        ),
        blue_green_update_policy=Endpoint.BlueGreenUpdatePolicyProperty(
            traffic_routing_configuration=at_once, maximum_execution_timeout_in_seconds=LIMIT_SECONDS
        ),
    )
