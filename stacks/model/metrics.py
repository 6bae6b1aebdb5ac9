"""CloudWatch metrics of AWS and of our functions, by name and dimensions."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

Metric = cloudwatch.Metric
NAMESPACE = "Easel"
"""Namespace of the metrics that `lambda/gateway/telemetry.py` writes."""
FIVE_MINUTES = Duration.minutes(5)


class Metrics:
    """Metrics of one endpoint and of the API in front of it, whose functions have the service name `service`."""

    def __init__(self, endpoint: str, variant: str, service: str) -> None:
        self._service = service
        self._endpoint = {"EndpointName": endpoint}
        self._variant = {**self._endpoint, "VariantName": variant}

    def easel(self, name: str, dimension: str, value: str, statistic: str, label: str = "", model: str = "") -> Metric:
        """Return a metric of our functions for one dimension value: `JobSeconds` by `status`, `Errors` by `code`.

        `model`: of the jobs of this model alone, where the metric is written for each.
        """
        dimensions = {"service": self._service, dimension: value, **({"model": model} if model else {})}
        return _metric(NAMESPACE, name, dimensions, statistic, label)

    def easel_by(self, name: str, dimension: str) -> cloudwatch.MathExpression:
        """Return a metric of our functions with one line for each value of the dimension."""
        of_service = f'MetricName="{name}" service="{self._service}"'
        search = f"SEARCH('{{{NAMESPACE},service,{dimension}}} {of_service}', 'Sum', 300)"
        return cloudwatch.MathExpression(expression=search, label="", period=FIVE_MINUTES, using_metrics={})

    def queue(self, name: str, statistic: str = "Maximum") -> Metric:
        """Return a metric of an async endpoint's queue. These metrics have no dimension for the variant."""
        return _metric("AWS/SageMaker", name, self._endpoint, statistic)

    def invocations(self, name: str, statistic: str = "Sum") -> Metric:
        """Return a metric of the variant's invocations."""
        return _metric("AWS/SageMaker", name, self._variant, statistic)

    def instances(self, name: str, statistic: str = "Average", period: Duration = FIVE_MINUTES) -> Metric:
        """Return a metric of the instances, which has one sample a minute and instance."""
        return _metric("/aws/sagemaker/Endpoints", name, self._variant, statistic, period=period)


def _metric(
    namespace: str,
    name: str,
    dimensions: dict[str, str],
    statistic: str,
    label: str = "",
    period: Duration = FIVE_MINUTES,
) -> Metric:
    return Metric(
        namespace=namespace,
        metric_name=name,
        dimensions_map=dimensions,
        statistic=statistic,
        period=period,
        label=label or None,
    )
