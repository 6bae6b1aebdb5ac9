"""What a month may cost before somebody is told."""

from __future__ import annotations

from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_sns as sns
from constructs import Construct

Budget = budgets.CfnBudget
SERVICE = "Amazon SageMaker"
"""All of it in the account. Our tags would be nearer, and count nothing until somebody activates them in Billing."""
WARNINGS = (("ACTUAL", 50), ("ACTUAL", 100), ("FORECASTED", 100))
"""Percent of the budget."""


class MonthlyBudget(Budget):
    """`usd` a month for SageMaker. AWS counts it some hours late: it warns and stops nothing."""

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
        self.node.add_dependency(topic)  # with its policy, by which Budgets may publish


def _warning(kind: str, percent: int, topic: sns.Topic) -> Budget.NotificationWithSubscribersProperty:
    over = Budget.NotificationProperty(comparison_operator="GREATER_THAN", notification_type=kind, threshold=percent)
    told = Budget.SubscriberProperty(subscription_type="SNS", address=topic.topic_arn)
    return Budget.NotificationWithSubscribersProperty(notification=over, subscribers=[told])
