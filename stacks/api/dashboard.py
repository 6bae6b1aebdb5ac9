"""A CloudWatch dashboard: requests, errors, times, queue, GPU, cost and log."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Aws, Duration, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from stacks.config.prices import highest_price
from stacks.model.endpoint import VARIANT, Endpoint
from stacks.model.metrics import Metrics

HOUR = Duration.hours(1)
PERCENTILES = ("p50", "p95", "p99")
QUERY = (
    "fields @timestamp, @log, @message",
    "filter @message like /inference_id/",  # the container's lines have a prefix, so a query does not parse their JSON
    "sort @timestamp desc",
    "limit 50",
)


class Dashboard(cloudwatch.Dashboard):
    """The dashboard of the endpoints and their API. `log_groups`: of logs with lines that have an `inference_id`."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        endpoints: Sequence[Endpoint],
        api: apigateway.RestApi,
        alarms: Sequence[cloudwatch.IAlarm],
        log_groups: Sequence[str],
    ) -> None:
        # Names of dashboards are global in an account.
        name = f"{Stack.of(scope).stack_name}-{Aws.REGION}"
        super().__init__(scope, id, dashboard_name=name, default_interval=Duration.hours(12))
        self._api, self._several = api, len(endpoints) > 1
        self._use(endpoints[0])
        self.add_widgets(cloudwatch.AlarmStatusWidget(alarms=list(alarms), title="Alarms", width=24, height=3))
        self.add_widgets(*self._requests())
        self.add_widgets(*self._times())
        for endpoint in endpoints:
            self._use(endpoint)
            self.add_widgets(self._queue(), *self._machines())
            self.add_widgets(*self._cost())
        self.add_widgets(_log_lines(log_groups))

    def _use(self, endpoint: Endpoint) -> None:
        """Let the next widgets be those of this endpoint."""
        self._endpoint = endpoint
        self._metrics = Metrics(endpoint.name, VARIANT, endpoint.settings.name)

    def _title(self, title: str) -> str:
        return f"{self._endpoint.model}: {title}" if self._several else title

    def _requests(self) -> list[cloudwatch.IWidget]:
        api, easel_by = self._api, self._metrics.easel_by
        requests = [api.metric_count(label="requests"), api.metric_client_error(label="4xx")]
        return [
            _graph("Requests", [*requests, api.metric_server_error(label="5xx")]),
            _graph("Errors of requests, by code", [easel_by("Errors", "code")]),
            _graph("Failures of jobs, by code", [easel_by("JobErrors", "code")]),
        ]

    def _times(self) -> list[cloudwatch.IWidget]:
        jobs = [self._metrics.easel("JobSeconds", "status", "succeeded", p, f"{p} seconds") for p in PERCENTILES]
        ends = [
            self._metrics.easel("JobSeconds", "status", status, "SampleCount", status)
            for status in ("succeeded", "failed", "cancelled")
        ]
        return [
            _graph("Time to the image, queue and start included", jobs),
            _graph("Time of the API", [self._api.metric_latency(statistic=p, label=p) for p in PERCENTILES]),
            _graph("Jobs that ended", ends),
        ]

    def _queue(self) -> cloudwatch.IWidget:
        if not self._endpoint.async_output:
            calls = [self._metrics.invocations("Invocations"), self._metrics.invocations("Invocation5XXErrors")]
            return _graph(self._title("Invocations of the endpoint"), calls)
        waiting = [self._metrics.queue("ApproximateBacklogSize"), self._metrics.queue("HasBacklogWithoutCapacity")]
        return _graph(self._title("Queue"), waiting, right=[self._metrics.queue("ApproximateAgeOfOldestRequest")])

    def _machines(self) -> list[cloudwatch.IWidget]:
        metric = self._metrics.instances
        host = [metric("CPUUtilization"), metric("MemoryUtilization"), metric("DiskUtilization")]
        return [
            _graph(self._title("GPU (percent)"), [metric("GPUUtilization"), metric("GPUMemoryUtilization")]),
            _graph(self._title("CPU, memory and disk (percent)"), host),
        ]

    def _cost(self) -> list[cloudwatch.IWidget]:
        """Each instance has one sample a minute, so the samples of an hour over 60 are the instances that ran."""
        samples = self._metrics.instances("CPUUtilization", "SampleCount", HOUR)
        instances = "FILL(samples, 0) / 60"
        widgets = [_graph(self._title("Instances"), [_expression(instances, "instances", samples)])]
        pool = self._endpoint.settings.pool
        usd = highest_price(pool)
        if usd:
            hourly = _expression(f"{instances} * {usd}", "USD in the hour", samples)
            total = _expression(f"RUNNING_SUM({instances} * {usd})", "USD since the left edge", samples)
            precision = "about" if len(pool) == 1 else "at most"
            widgets.append(
                _graph(self._title(f"Cost of instances, {precision} (USD, us-east-1)"), [hourly], right=[total])
            )
        return [*widgets]


def _log_lines(log_groups: Sequence[str]) -> cloudwatch.IWidget:
    return cloudwatch.LogQueryWidget(
        log_group_names=list(log_groups),
        query_lines=list(QUERY),
        title="The last 50 lines about jobs. To follow one job, put its id between the slashes of the filter",
        width=24,
        height=8,
    )


def _graph(
    title: str, left: Sequence[cloudwatch.IMetric], right: Sequence[cloudwatch.IMetric] = ()
) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, left=list(left), right=list(right), width=8, height=6)


def _expression(text: str, label: str, samples: cloudwatch.IMetric) -> cloudwatch.MathExpression:
    return cloudwatch.MathExpression(expression=text, label=label, period=HOUR, using_metrics={"samples": samples})
