"""One page of CloudWatch: requests, errors, times, queue, GPU, cost, log."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_logs as logs
from constructs import Construct

from stacks.config.prices import USD_PER_HOUR
from stacks.model.endpoint import VARIANT, Endpoint
from stacks.model.metrics import Metrics

HOUR = Duration.hours(1)
PERCENTILES = ("p50", "p95", "p99")
QUERY = (
    "fields @timestamp, @log, @message",
    "filter @message like /inference_id/",  # the container's lines come with a prefix, so they are no JSON to a query
    "sort @timestamp desc",
    "limit 50",
)


class Dashboard(cloudwatch.Dashboard):
    """`groups` are the logs that one `inference_id` runs through."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        endpoint: Endpoint,
        api: apigateway.RestApi,
        alarms: Sequence[cloudwatch.IAlarm],
        groups: Sequence[logs.ILogGroup],
    ) -> None:
        super().__init__(scope, id, default_interval=Duration.hours(12))
        self._metrics, self._endpoint, self._api = Metrics(endpoint.name, VARIANT), endpoint, api
        self.add_widgets(cloudwatch.AlarmStatusWidget(alarms=list(alarms), title="Alarms", width=24, height=3))
        self.add_widgets(*self._requests())
        self.add_widgets(*self._times())
        self.add_widgets(self._queue(), *self._machines())
        self.add_widgets(*self._cost())
        names = [group.log_group_name for group in groups]
        title = "The last 50 lines of pictures; put an inference_id or a job id between the slashes to follow one"
        self.add_widgets(
            cloudwatch.LogQueryWidget(log_group_names=names, query_lines=list(QUERY), title=title, width=24, height=8)
        )

    def _requests(self) -> list[cloudwatch.IWidget]:
        api, every = self._api, self._metrics.every
        answered = [api.metric_count(label="requests"), api.metric_client_error(label="4xx")]
        return [
            _graph("Requests", [*answered, api.metric_server_error(label="5xx")]),
            _graph("Errors of requests, by code", [every("Errors", "code")]),
            _graph("Failures of jobs, by code", [every("JobErrors", "code")]),
        ]

    def _times(self) -> list[cloudwatch.IWidget]:
        jobs = [self._metrics.easel("JobSeconds", "status", "succeeded", p, f"{p} seconds") for p in PERCENTILES]
        ends = [
            self._metrics.easel("JobSeconds", "status", status, "SampleCount", status)
            for status in ("succeeded", "failed", "cancelled")
        ]
        return [
            _graph("Time to the picture, queue and start included", jobs),
            _graph("Time of the API", [self._api.metric_latency(statistic=p, label=p) for p in PERCENTILES]),
            _graph("Jobs that ended", ends),
        ]

    def _queue(self) -> cloudwatch.IWidget:
        if not self._endpoint.answers:
            calls = [self._metrics.calls("Invocations"), self._metrics.calls("Invocation5XXErrors")]
            return _graph("Calls of the endpoint", calls)
        waiting = [self._metrics.queue("ApproximateBacklogSize"), self._metrics.queue("HasBacklogWithoutCapacity")]
        return _graph("Queue", waiting, right=[self._metrics.queue("ApproximateAgeOfOldestRequest")])

    def _machines(self) -> list[cloudwatch.IWidget]:
        of = self._metrics.instances
        return [
            _graph("GPU (percent)", [of("GPUUtilization"), of("GPUMemoryUtilization")]),
            _graph(
                "CPU, memory and disk (percent)", [of("CPUUtilization"), of("MemoryUtilization"), of("DiskUtilization")]
            ),
        ]

    def _cost(self) -> list[cloudwatch.IWidget]:
        """One sample a minute and instance: their number in an hour, over 60, is how many ran."""
        samples = self._metrics.instances("CPUUtilization", "SampleCount", HOUR)
        ran = "FILL(samples, 0) / 60"
        widgets = [_graph("Instances", [_expression(ran, "instances", samples)])]
        pool = self._endpoint.settings.pool
        usd = max(USD_PER_HOUR.get(name, 0) for name in pool)
        if usd:
            hourly = _expression(f"{ran} * {usd}", "USD in the hour", samples)
            total = _expression(f"RUNNING_SUM({ran} * {usd})", "USD since the left edge", samples)
            how = "about" if len(pool) == 1 else "at most"
            widgets.append(_graph(f"Cost of instances, {how} (USD, us-east-1)", [hourly], right=[total]))
        return [*widgets]


def _graph(
    title: str, left: Sequence[cloudwatch.IMetric], right: Sequence[cloudwatch.IMetric] = ()
) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, left=list(left), right=list(right), width=8, height=6)


def _expression(text: str, label: str, samples: cloudwatch.IMetric) -> cloudwatch.MathExpression:
    return cloudwatch.MathExpression(expression=text, label=label, period=HOUR, using_metrics={"samples": samples})
