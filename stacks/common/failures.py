"""How failing functions are noticed: an alarm on their errors, and a queue of the events that they gave up on."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.common.nag_suppressions import suppress

_SQS3_REASON = "This queue is itself the dead-letter queue of the functions"


class LostEvents(sqs.Queue):
    """A queue of the events that a function gave up on, for an operator to read."""

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id, enforce_ssl=True, retention_period=Duration.days(14))
        suppress(self, {"AwsSolutions-SQS3": _SQS3_REASON})


def errors_of(functions: Sequence[lambda_.IFunction], period: Duration) -> cloudwatch.IMetric:
    """Return how many invocations of the functions ended with an exception, a timeout or without memory."""
    metrics = {f"m{i}": function.metric_errors(period=period) for i, function in enumerate(functions)}
    if len(metrics) == 1:
        return metrics["m0"]
    total = " + ".join(f"FILL({name}, 0)" for name in metrics)
    return cloudwatch.MathExpression(expression=total, label="errors", period=period, using_metrics={**metrics})


def alert(
    scope: Construct, id: str, metric: cloudwatch.IMetric, topic: sns.ITopic, text: str, periods: int = 1
) -> None:
    """Add an alarm that mails `text` when the metric is 1 or more in each of the last `periods`."""
    alarm = cloudwatch.Alarm(
        scope,
        id,
        metric=metric,
        threshold=1,
        evaluation_periods=periods,
        comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        alarm_description=text,
    )
    alarm.add_alarm_action(actions.SnsAction(topic))
