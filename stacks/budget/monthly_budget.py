"""A monthly budget with warnings by mail."""

from __future__ import annotations

from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_sns as sns
from constructs import Construct

Budget = budgets.CfnBudget
SERVICE = "Amazon SageMaker"
"""Counts the whole account. A filter by our tags counts nothing until somebody activates them in Billing."""
USED_UP = ("ACTUAL", 100)
WARNINGS = (("ACTUAL", 50), USED_UP, ("FORECASTED", 100))
"""Type of cost and percent of the budget."""


class MonthlyBudget(Budget):
    """A budget of `usd` a month for SageMaker. It warns, some hours late.

    AWS Budgets allows one topic a notification: that of a used up budget is `stop`, whose function sends the mail, or
    `topic` without it.
    """

    def __init__(
        self, scope: Construct, id: str, *, name: str, usd: int, topic: sns.Topic, stop: sns.Topic | None
    ) -> None:
        super().__init__(
            scope,
            id,
            budget=Budget.BudgetDataProperty(
                budget_name=name,
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=Budget.SpendProperty(amount=usd, unit="USD"),
                cost_filters={"Service": [SERVICE]},
            ),
            notifications_with_subscribers=[
                _warning(*warning, stop if stop and warning == USED_UP else topic) for warning in WARNINGS
            ],
        )
        self.node.add_dependency(topic, *([stop] if stop else []))  # with its policy, which lets Budgets publish


def _warning(kind: str, percent: int, topic: sns.Topic) -> Budget.NotificationWithSubscribersProperty:
    over = Budget.NotificationProperty(comparison_operator="GREATER_THAN", notification_type=kind, threshold=percent)
    subscriber = Budget.SubscriberProperty(subscription_type="SNS", address=topic.topic_arn)
    return Budget.NotificationWithSubscribersProperty(notification=over, subscribers=[subscriber])
