"""Where the numbers are: what AWS and our functions count, by the names that they count it under."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

Metric = cloudwatch.Metric
NAMESPACE, SERVICE = "Easel", "easel"
"""What `lambda/gateway/telemetry.py` writes under."""
FIVE_MINUTES = Duration.minutes(5)


class Metrics:
    """Metrics of one endpoint, by its name, and of the API before it."""

    def __init__(self, endpoint: str, variant: str) -> None:
        self._endpoint = {"EndpointName": endpoint}
        self._variant = {**self._endpoint, "VariantName": variant}

    def easel(self, name: str, dimension: str, of: str, statistic: str, label: str = "") -> Metric:
        """Of our functions, for one value of one dimension: `JobSeconds` by `status`, `Errors` by `code`."""
        return _metric(NAMESPACE, name, {"service": SERVICE, dimension: of}, statistic, label)

    def every(self, name: str, dimension: str) -> cloudwatch.MathExpression:
        """Of our functions, one line for each value of the dimension that there is."""
        search = f"SEARCH('{{{NAMESPACE},service,{dimension}}} MetricName=\"{name}\"', 'Sum', 300)"
        return cloudwatch.MathExpression(expression=search, label="", period=FIVE_MINUTES, using_metrics={})

    def queue(self, name: str, statistic: str = "Maximum") -> Metric:
        """Of an asynchronous endpoint's queue: with the variant as a second dimension there is no such metric."""
        return _metric("AWS/SageMaker", name, self._endpoint, statistic)

    def calls(self, name: str, statistic: str = "Sum") -> Metric:
        return _metric("AWS/SageMaker", name, self._variant, statistic)

    def instances(self, name: str, statistic: str = "Average", period: Duration = FIVE_MINUTES) -> Metric:
        """Of the machines; one sample a minute and instance."""
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
