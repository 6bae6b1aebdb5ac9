"""Alarms on the metric of some dimensions, and on a sum of one metric's dimensions, such as the errors of several
functions.

MiniStack 1.5.33 takes alarms on one metric only, and ignores dimensions: to it the metric without them is the sum.
"""

from types import FunctionType
from typing import Any

from ministack.services import cloudwatch
from ministack.services.cloudformation import provisioners


def install() -> None:
    """Let an alarm with dimensions see no others. Accept `Metrics` whose expression adds up metrics that differ in
    their dimensions only."""
    evaluate, record = cloudwatch._evaluate_alarm, provisioners._cw_metric_alarm_record

    def evaluate_own(alarm: dict[str, Any]) -> None:
        dimensions = cloudwatch._dims_key(cloudwatch._dims_from_list(alarm.get("Dimensions") or []))
        own = {key: points for key, points in cloudwatch._metrics.items() if dimensions in ("", key[2])}
        FunctionType(evaluate.__code__, {**evaluate.__globals__, "_metrics": own})(alarm)

    cloudwatch._evaluate_alarm = evaluate_own

    def record_of_sum(name: str, properties: dict[str, Any]) -> Any:
        return record(name, without_math(properties) if "Metrics" in properties else properties)

    provisioners._cw_metric_alarm_record = record_of_sum


def without_math(properties: dict[str, Any]) -> dict[str, Any]:
    """Return the properties of the alarm on the metric itself. Raises ValueError: it is another expression."""
    expressions = [item["Expression"] for item in properties["Metrics"] if "Expression" in item]
    found = {
        (stat["Metric"]["Namespace"], stat["Metric"]["MetricName"], stat["Period"], stat["Stat"])
        for stat in (item["MetricStat"] for item in properties["Metrics"] if "MetricStat" in item)
    }
    if len(found) != 1 or any(set(expression) & set("*/<>-") for expression in expressions):
        raise ValueError(f"{expressions} is not emulated")
    ((namespace, metric, period, statistic),) = found
    rest = {key: value for key, value in properties.items() if key != "Metrics"}
    return {**rest, "Namespace": namespace, "MetricName": metric, "Period": period, "Statistic": statistic}
