"""Alarms of the API, the jobs and the instances. Each description, the text of the mail, says what to do."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.api.functions import ApiFunctions
from stacks.common.failures import errors_of
from stacks.config.settings import Settings
from stacks.model.endpoint import VARIANT, Endpoint
from stacks.model.metrics import Metrics

FIVE_MINUTES, HOUR = Duration.minutes(5), Duration.hours(1)
WAIT_MINUTES = 30
"""Age of a queued job that is too high, unless half of `queue_minutes` is less. An instance starts in 10 minutes, and
five jobs wait for one instance before another starts."""
SLOW_SECONDS = {"async": 900, "realtime": 60}
"""Mode to the 95th percentile of a job's time, from its request to its images, that is too high.

async: the longest usual start, which is 10 minutes, and 5 minutes to wait and generate. realtime: SageMaker's limit of
a call, so jobs that take longer wait for one another.
"""
SLOW_PERIODS = 3
"""Periods of five minutes. Of fewer than 20 jobs the 95th percentile is the slowest, which a single start decides."""
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
    "FunctionErrors": "A function of the API ended with an exception, its timeout or without memory. Its log has the "
    "reason: search for crashed, for 'Task timed out' and for 'Runtime exited'. The caller, or Lambda, tries again.",
    "LostEvents": "A function gave up on an event, so a job may have no outcome. Read the message in the queue "
    "LostEvents and the function's log, fix the cause, then purge the queue. The job expires by itself.",
    "LostWebhooks": "The function that delivers webhooks could not handle an event, so somebody was not notified. Its "
    "log has the reason. Fix the cause, then send the messages again with `aws sqs start-message-move-task`, or purge "
    "the queue. A receiver that fails raises no alarm: its job shows the attempts.",
    "FailingJobs": "Three jobs failed in five minutes. Run `easel doctor`: it reads the container's last log lines and "
    "knows the usual causes. The dashboard shows the failures by code.",
    "OldestJob": f"A job has waited for {WAIT_MINUTES} minutes, or for half of queue_minutes if that is less: no "
    "instance runs, or more jobs arrive than the instances generate. Run `easel doctor`; against load raise "
    "max_instances.",
    "SlowJobs": f"For {5 * SLOW_PERIODS} minutes, one job in twenty took {SLOW_SECONDS['async'] // 60} minutes or more "
    f"in mode async, {SLOW_SECONDS['realtime']} seconds or more in mode realtime, from its request to its images. The "
    "dashboard shows where the time goes. Raise max_instances against waiting and min_instances against starts; a "
    "faster instance_type helps against slow generation. `easel doctor` says what is wrong otherwise.",
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
    """The alarms of an endpoint, listed in `all`. Missing data raises no alarm, so a service without traffic is quiet.

    `of_service`: also those of the jobs of all models.
    """

    def __init__(
        self, scope: Construct, id: str, *, endpoint: Endpoint, topic: sns.ITopic, of_service: bool = True
    ) -> None:
        super().__init__(scope, id)
        self.all: list[cloudwatch.IAlarm] = []
        self._settings, self._names = endpoint.settings, endpoint.settings.names
        self._action, self._metrics = actions.SnsAction(topic), Metrics(endpoint.name, VARIANT, self._names.name)
        if of_service:
            self._watch_jobs()
        self._watch_idle_instances()
        if endpoint.async_output:
            self._watch_queue()

    def watch_api(self, api: apigateway.RestApi, functions: ApiFunctions, lost_events: sqs.IQueue) -> None:
        """Add the alarms of the gateway, its functions and the queue of lost events."""
        function, helper = functions.api.function, functions.helper.function
        self._alarm("ServerErrors", api.metric_server_error(statistic="Sum"), threshold=5)
        self._alarm("Throttled", function.metric_throttles())
        watched = [function, helper]
        if webhooks := functions.webhooks:
            watched.append(webhooks.delivery.function)
            self._alarm("LostWebhooks", _messages(webhooks.lost))
        self._alarm("FunctionErrors", errors_of(watched, FIVE_MINUTES))
        if self._settings.mode == "realtime":  # Lambda's queue of the runner; its metric is in milliseconds
            age = helper.metric("AsyncEventAge", statistic="Maximum", period=FIVE_MINUTES)
            self._alarm("OldestJob", age, threshold=1000 * oldest_seconds(self._settings))
        self._alarm("LostEvents", _messages(lost_events))

    def _watch_jobs(self) -> None:
        failed = self._metrics.easel("JobSeconds", "status", "failed", "SampleCount")
        self._alarm("FailingJobs", failed, threshold=3)
        slow = self._metrics.easel("JobSeconds", "status", "succeeded", "p95")
        self._alarm("SlowJobs", slow, threshold=SLOW_SECONDS[self._settings.mode], periods=SLOW_PERIODS)
        self._alarm("WrongSettings", self._metrics.easel("Errors", "code", "config_error", "Sum"))

    def _watch_idle_instances(self) -> None:
        """Watch the CPU: metrics of requests, and math on them, have no data when there are no requests."""
        cpu = self._metrics.instances("CPUUtilization", "Maximum", HOUR)
        self._alarm("IdleInstance", cpu, threshold=IDLE_PERCENT, comparison=BELOW, periods=3)

    def _watch_queue(self) -> None:
        age = self._metrics.queue("ApproximateAgeOfOldestRequest")
        self._alarm("OldestJob", age, threshold=oldest_seconds(self._settings))
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
            alarm_description=self._names.in_commands(DESCRIPTIONS[id]),
        )
        alarm.add_alarm_action(self._action)
        self.all.append(alarm)


def _messages(queue: sqs.IQueue) -> cloudwatch.IMetric:
    return queue.metric_approximate_number_of_messages_visible(statistic="Maximum")


def oldest_seconds(settings: Settings) -> int:
    """Return the age of the oldest queued job that is too high. After `queue_minutes` a job is dropped."""
    return 60 * min(WAIT_MINUTES, max(1, settings.queue_minutes // 2))
