"""A monthly budget with warnings by mail."""

from __future__ import annotations

from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_sns as sns
from constructs import Construct

Budget = budgets.CfnBudget
SERVICE = "Amazon SageMaker"
"""Counts the whole account. A filter by our tags counts nothing until somebody activates them in Billing."""
WARNINGS = (("ACTUAL", 50), ("ACTUAL", 100), ("FORECASTED", 100))
"""Type of cost and percent of the budget."""


class MonthlyBudget(Budget):
    """A budget of `usd` a month for SageMaker. It warns, some hours late, and stops nothing."""

    def __init__(self, scope: Construct, id: str, *, usd: int, topic: sns.Topic) -> None:
        super().__init__(
            scope,
            id,
            budget=Budget.BudgetDataProperty(
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=Budget.SpendProperty(amount=usd, unit="USD"),
                cost_filters={"Service": [SERVICE]},
            ),
            notifications_with_subscribers=[_warning(kind, percent, topic) for kind, percent in WARNINGS],
        )
        self.node.add_dependency(topic)  # includes the topic's policy, which lets Budgets publish


def _warning(kind: str, percent: int, topic: sns.Topic) -> Budget.NotificationWithSubscribersProperty:
    over = Budget.NotificationProperty(comparison_operator="GREATER_THAN", notification_type=kind, threshold=percent)
    subscriber = Budget.SubscriberProperty(subscription_type="SNS", address=topic.topic_arn)
    return Budget.NotificationWithSubscribersProperty(notification=over, subscribers=[subscriber])
