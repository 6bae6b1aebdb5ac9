"""Alarms of the API, the jobs and the instances. Each description, the text of the mail, says what to do."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.model.endpoint import VARIANT, Endpoint
from stacks.model.metrics import Metrics

HOUR = Duration.hours(1)
IDLE_PERCENT = 10
"""Percent of one core. Generating an image uses a whole core, also on a GPU."""
AT_LEAST = cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
BELOW = cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD
_ACTIVITIES = "`aws application-autoscaling describe-scaling-activities --service-namespace sagemaker`"
_REDEPLOY = (
    "Deploy again with the settings of the last deploy: `npx cdk deploy --all --revert-drift`. Without this option, a "
    "deploy that changes nothing does nothing."
)

DESCRIPTIONS = {
    "ServerErrors": "The API responded 5xx five times in five minutes. Run `easel doctor`. The function's log has the "
    "code of each error, and docs/reference/errors.md says what to do.",
    "Throttled": "Lambda refused invocations of the API's function: the account's concurrency, or the setting "
    "api_concurrency, is used up. Raise the quota 'Concurrent executions' of Lambda, or api_concurrency.",
    "LostEvents": "A function gave up on an event, so a job may have no outcome. Read the message in the queue "
    "LostEvents and the function's log, fix the cause, then purge the queue. The job expires by itself.",
    "FailingJobs": "Three jobs failed in five minutes. Run `easel doctor`: it reads the container's last log lines and "
    "knows the usual causes. The dashboard shows the failures by code.",
    "WrongSettings": f"A function lacks a permission or a resource that it needs. {_REDEPLOY} If the alarm stays, the "
    "field `cause` in the log of the API's function names what AWS refused.",
    "IdleInstance": "An instance has run for three hours without generating an image, and is billed. In mode realtime, "
    f"run `easel pause`. In mode async with min_instances=0, {_ACTIVITIES} says why it does not scale to zero. "
    "`npx cdk destroy --all` ends it in any case.",
    "NoCapacity": "Jobs have waited for 20 minutes without an instance: the quota is used up, or AWS has no such "
    f"instance free. {_ACTIVITIES} says which. Another instance_type, or instance_fallbacks, helps in both cases.",
    "Undelivered": "SageMaker could not publish a notification: the endpoint's role lacks a permission, or a topic is "
    f"gone. {_REDEPLOY} The next GET of a finished job finds its images.",
}
"""Alarm id to the text of the mail."""


class Alarms(Construct):
    """The alarms, listed in `all`. Missing data raises no alarm, so a service without traffic is quiet."""

    def __init__(self, scope: Construct, id: str, *, endpoint: Endpoint, topic: sns.ITopic) -> None:
        super().__init__(scope, id)
        self.all: list[cloudwatch.IAlarm] = []
        self._action, self._metrics = actions.SnsAction(topic), Metrics(endpoint.name, VARIANT)
        self._watch_jobs()
        self._watch_idle_instances()
        if endpoint.async_output:
            self._watch_queue()

    def watch_api(self, api: apigateway.RestApi, function: lambda_.IFunction, lost_events: sqs.IQueue) -> None:
        """Add the alarms of the gateway, the API's function and the queue of lost events."""
        self._alarm("ServerErrors", api.metric_server_error(statistic="Sum"), threshold=5)
        self._alarm("Throttled", function.metric_throttles())
        self._alarm("LostEvents", lost_events.metric_approximate_number_of_messages_visible(statistic="Maximum"))

    def _watch_jobs(self) -> None:
        failed = self._metrics.easel("JobSeconds", "status", "failed", "SampleCount")
        self._alarm("FailingJobs", failed, threshold=3)
        self._alarm("WrongSettings", self._metrics.easel("Errors", "code", "config_error", "Sum"))

    def _watch_idle_instances(self) -> None:
        """Watch the CPU: metrics of requests, and math on them, have no data when there are no requests."""
        cpu = self._metrics.instances("CPUUtilization", "Maximum", HOUR)
        self._alarm("IdleInstance", cpu, threshold=IDLE_PERCENT, comparison=BELOW, periods=3)

    def _watch_queue(self) -> None:
        self._alarm("NoCapacity", self._metrics.queue("HasBacklogWithoutCapacity", "Minimum"), periods=4)
        self._alarm("Undelivered", self._metrics.invocations("NotificationFailures"))

    def _alarm(
        self,
        id: str,
        metric: cloudwatch.IMetric,
        *,
        threshold: float = 1,
        comparison: cloudwatch.ComparisonOperator = AT_LEAST,
        periods: int = 1,
    ) -> None:
        alarm = cloudwatch.Alarm(
            self,
            id,
            metric=metric,
            threshold=threshold,
            evaluation_periods=periods,
            comparison_operator=comparison,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            alarm_description=DESCRIPTIONS[id],
        )
        alarm.add_alarm_action(self._action)
        self.all.append(alarm)
