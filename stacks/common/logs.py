"""Log groups with a retention, deleted with their stack."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_logs as logs
from constructs import Construct


def retention(days: int) -> logs.RetentionDays:
    """Return CloudWatch's name for a number of days, one of `settings.LOG_DAYS`."""
    return _RETENTIONS[days]


_RETENTIONS = {
    1: logs.RetentionDays.ONE_DAY,
    3: logs.RetentionDays.THREE_DAYS,
    5: logs.RetentionDays.FIVE_DAYS,
    7: logs.RetentionDays.ONE_WEEK,
    14: logs.RetentionDays.TWO_WEEKS,
    30: logs.RetentionDays.ONE_MONTH,
    60: logs.RetentionDays.TWO_MONTHS,
    90: logs.RetentionDays.THREE_MONTHS,
    180: logs.RetentionDays.SIX_MONTHS,
    365: logs.RetentionDays.ONE_YEAR,
    731: logs.RetentionDays.TWO_YEARS,
    1827: logs.RetentionDays.FIVE_YEARS,
    3653: logs.RetentionDays.TEN_YEARS,
}
LOG_DAYS = tuple(_RETENTIONS)


class Logs(logs.LogGroup):
    """A log group that keeps lines for `days` and is deleted with its stack."""

    def __init__(self, scope: Construct, id: str, *, days: int, name: str | None = None) -> None:
        super().__init__(
            scope, id, log_group_name=name, retention=retention(days), removal_policy=cdk.RemovalPolicy.DESTROY
        )
