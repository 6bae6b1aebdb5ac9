"""The budget stack: a monthly budget alone, since an account of an organisation may not be allowed to have one."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
from constructs import Construct

from stacks.budget.monthly_budget import SERVICE, MonthlyBudget
from stacks.common.outputs import output
from stacks.config.settings import Settings
from stacks.storage.alerts import Alerts


class BudgetStack(cdk.Stack):
    """Deployed last, and needed by no other stack: if it fails, everything else works."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings, alerts: Alerts, **options: Any) -> None:
        super().__init__(scope, id, description="Easel: the monthly budget", **options)
        stops = settings.budget_action == "stop" and settings.endpoint == "on"
        # Budgets belong to no region, and other notifications replace the budget: the new one needs another name.
        name = f"{self.stack_name}-{cdk.Aws.REGION}" + ("-stop" if stops else "")
        MonthlyBudget(
            self,
            "MonthlyBudget",
            name=name,
            usd=settings.budget_usd,
            topic=alerts.topic,
            stop=alerts.used_up if stops else None,
        )
        warnings = "alerts at 50, 100, forecast 100 %"
        output(self, "Budget", f"{settings.budget_usd} USD a month of {SERVICE} in this account; {warnings}")
