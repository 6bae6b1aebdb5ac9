"""The GPU side: a release, the endpoint that runs it, and how many instances it may have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.config.catalogue import Model
from stacks.config.prices import price
from stacks.config.settings import Settings
from stacks.model.alerts import Alerts
from stacks.model.endpoint import VARIANT, Endpoint
from stacks.model.idle_guard import IdleGuard
from stacks.model.monthly_budget import SERVICE, MonthlyBudget
from stacks.model.release.expiry import Retirement
from stacks.model.release.release import Release
from stacks.model.scaling import Scaling
from stacks.model.wait_for_endpoint import Settled

MODEL_CODE = Path(__file__).parents[2] / "model_code"


class ModelStack(cdk.Stack):
    """Costs money by the hour, and only this stack does."""

    def __init__(
        self, scope: Construct, id: str, *, settings: Settings, model: Model, bucket: s3.IBucket, **options: Any
    ) -> None:
        super().__init__(scope, id, description=f"Easel: the endpoint that runs {model.id}", **options)
        release = Release(self, "Release", settings=settings, bucket=bucket, model=model, code=MODEL_CODE)
        self.endpoint = Endpoint(
            self,
            "Endpoint",
            settings=settings,
            bucket=bucket,
            release=release.uri,
            profile=model.container_profile,
        )
        if self.endpoint.up:
            self._settled = Settled(self, "Settled", endpoint=self.endpoint, log_days=settings.log_days)
            scaling = Scaling(self, "Scaling", endpoint=self.endpoint)
            scaling.node.add_dependency(self._settled)  # nobody changes the endpoint while that is waited for
        retirement = Retirement(self, "Retirement", bucket=bucket, uri=release.uri, log_days=settings.log_days)
        retirement.node.add_dependency(self.endpoint)
        self.alerts = Alerts(self, "Alerts", email=settings.alert_email)
        self._limit_costs(settings)

        warm, idle = (max(1, settings.min_instances), settings.min_instances) if self.endpoint.up else (0, 0)
        cdk.CfnOutput(self, "Model", value=model.id)
        cdk.CfnOutput(self, "PriceWarm", value=price(settings.pool, warm))
        cdk.CfnOutput(self, "PriceIdle", value=price(settings.pool, idle))
        cdk.CfnOutput(self, "AlertsGoTo", value=self.alerts.told)
        cdk.CfnOutput(self, "NextUpdate", value=_next_update(settings))
        if settings.shell == "on" and self.endpoint.up:
            target = f"sagemaker-endpoint:{self.endpoint.name}_{VARIANT}_<instance>"
            cdk.CfnOutput(self, "ShellCommand", value=f"aws ssm start-session --region {self.region} --target {target}")

    def _limit_costs(self, settings: Settings) -> None:
        """AWS Budgets is not in GovCloud; in China it does not tell SNS."""
        budget = "none"
        if settings.budget_usd and self._has_budgets():
            MonthlyBudget(self, "MonthlyBudget", usd=settings.budget_usd, topic=self.alerts.topic)
            budget = (
                f"{settings.budget_usd} USD a month of {SERVICE} in this account; alerts at 50, 100, forecast 100 %"
            )
        cdk.CfnOutput(self, "Budget", value=budget)
        if self.endpoint.up and (hours := settings.idle_hours):
            topic = self.alerts.topic
            guard = IdleGuard(self, "IdleGuard", endpoint=self.endpoint, topic=topic, log_days=settings.log_days)
            guard.node.add_dependency(self._settled)  # nor takes it away then
            told = f"after {hours} h without a call the endpoint is deleted; `easel resume` brings it back"
            cdk.CfnOutput(self, "IdleGuardDoes", value=told)

    def _has_budgets(self) -> bool:
        return cdk.Token.is_unresolved(self.region) or not self.region.startswith(("cn-", "us-gov-", "us-iso"))


def _next_update(settings: Settings) -> str:
    """What a deploy of another model or other code needs: synthesis cannot ask for the quota."""
    most, kind = settings.max_instances, " or ".join(settings.pool)
    if settings.endpoint == "off":
        return f"the endpoint is away; the next deploy without endpoint=off needs a quota of {most} x {kind}"
    watched = (
        "is watched for 10 minutes and rolled back by alarm" if settings.update == "blue_green" else "is not watched"
    )
    return (
        f"starts new instances before the old ones stop and {watched}: needs a quota of up to {2 * most} x "
        f"{kind} for endpoint usage; with less, first npx cdk deploy EaselModel -c endpoint=off, then deploy"
    )
