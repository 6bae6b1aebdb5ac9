"""The alarms that matter. Each says what it means and what to do; it is the text of the mail."""

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
"""Of one core: drawing takes a whole one, also on a GPU."""
AT_LEAST = cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
BELOW = cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD
_ACTIVITIES = "`aws application-autoscaling describe-scaling-activities --service-namespace sagemaker`"
_AS_DEPLOYED = (
    "Deploy again with the settings of the last deploy: `npx cdk deploy --all --revert-drift`; without this option a "
    "deploy that changes nothing does nothing."
)

SAYS = {
    "ServerErrors": "The API answered 5xx five times in five minutes. Run `easel doctor`; the function's log has the "
    "code of each error, and docs/errors.md what to do about it.",
    "Throttled": "Lambda refused calls of the API: the account's concurrency, or api_concurrency, is used up. Raise "
    "the quota 'Concurrent executions' of Lambda, or api_concurrency.",
    "LostEvents": "A function gave up on an event: a job may have no end. Read the message in the queue Lost and the "
    "function's log, mend the cause, then purge the queue; the job expires by itself.",
    "FailingJobs": "Three jobs failed in five minutes. Run `easel doctor`: it reads the container's last lines and "
    "knows the usual causes. The dashboard has the failures by code.",
    "WrongSettings": f"A part of Easel lacks a right or a name. {_AS_DEPLOYED} If it stays, the field `cause` in the "
    "log of the API's function names what AWS refused.",
    "IdleInstance": "An instance has run for three hours and drawn nothing: it costs money for nothing. `easel pause` "
    f"in mode realtime; in mode async with min_instances=0, {_ACTIVITIES} says why it does not sleep. "
    "`npx cdk destroy --all` ends it in any case.",
    "NoCapacity": "Jobs have waited for 20 minutes and no instance came: the quota is used up, or AWS has no such "
    f"instance free. {_ACTIVITIES} says which. Another instance_type, or instance_fallbacks, helps in both cases.",
    "Undelivered": "SageMaker could not tell of a picture: the endpoint's role lacks a right, or a topic is gone. "
    f"{_AS_DEPLOYED} Jobs that were drawn are found by their next poll.",
}
"""What the mail says, by alarm."""


class Alarms(Construct):
    """`all` for the dashboard. Quiet where nothing is counted: an Easel that nobody calls raises none."""

    def __init__(self, scope: Construct, id: str, *, endpoint: Endpoint, topic: sns.ITopic) -> None:
        super().__init__(scope, id)
        self.all: list[cloudwatch.IAlarm] = []
        self._action, self._metrics = actions.SnsAction(topic), Metrics(endpoint.name, VARIANT)
        self._watch_jobs()
        self._watch_idle_instances()
        if endpoint.answers:
            self._watch_queue()

    def watch_api(self, api: apigateway.RestApi, function: lambda_.IFunction, lost: sqs.IQueue) -> None:
        self._alarm("ServerErrors", api.metric_server_error(statistic="Sum"), threshold=5)
        self._alarm("Throttled", function.metric_throttles())
        self._alarm("LostEvents", lost.metric_approximate_number_of_messages_visible(statistic="Maximum"))

    def _watch_jobs(self) -> None:
        failed = self._metrics.easel("JobSeconds", "status", "failed", "SampleCount")
        self._alarm("FailingJobs", failed, threshold=3)
        self._alarm("WrongSettings", self._metrics.easel("Errors", "code", "config_error", "Sum"))

    def _watch_idle_instances(self) -> None:
        """By what the machine does. A metric of calls has no datapoint where nobody calls, and math on it has none."""
        busy = self._metrics.instances("CPUUtilization", "Maximum", HOUR)
        self._alarm("IdleInstance", busy, threshold=IDLE_PERCENT, comparison=BELOW, periods=3)

    def _watch_queue(self) -> None:
        self._alarm("NoCapacity", self._metrics.queue("HasBacklogWithoutCapacity", "Minimum"), periods=4)
        self._alarm("Undelivered", self._metrics.calls("NotificationFailures"))

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
            alarm_description=SAYS[id],
        )
        alarm.add_alarm_action(self._action)
        self.all.append(alarm)
