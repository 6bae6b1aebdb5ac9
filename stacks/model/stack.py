"""The model stack: a release, the endpoint that serves it, its scaling, and what limits its cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.common.outputs import output
from stacks.config.catalogue import Model
from stacks.config.prices import price
from stacks.config.settings import Settings
from stacks.model.alerts import Alerts
from stacks.model.endpoint import VARIANT, Endpoint
from stacks.model.idle_guard import IdleGuard
from stacks.model.monthly_budget import SERVICE, MonthlyBudget
from stacks.model.release.expiry import ReleaseExpiry
from stacks.model.release.release import Release
from stacks.model.scaling import Scaling
from stacks.model.wait_for_endpoint import WaitForEndpoint

MODEL_CODE = Path(__file__).parents[2] / "model_code"


class ModelStack(cdk.Stack):
    """The only stack of the service that is billed by the hour."""

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
        expiry = ReleaseExpiry(self, "ReleaseExpiry", bucket=bucket, uri=release.uri, log_days=settings.log_days)
        expiry.node.add_dependency(self.endpoint)
        self.alerts = Alerts(self, "Alerts", email=settings.alert_email)
        if self.endpoint.exists:
            self._scale_and_guard(settings)
        self._add_budget(settings)
        self._add_outputs(settings, model)

    def _scale_and_guard(self, settings: Settings) -> None:
        """Add what changes the endpoint. A destroy deletes it before it waits for the endpoint."""
        wait = WaitForEndpoint(self, "WaitForEndpoint", endpoint=self.endpoint, log_days=settings.log_days)
        scaling = Scaling(self, "Scaling", endpoint=self.endpoint)
        scaling.node.add_dependency(wait)
        if hours := settings.idle_hours:
            topic = self.alerts.topic
            guard = IdleGuard(self, "IdleGuard", endpoint=self.endpoint, topic=topic, log_days=settings.log_days)
            guard.node.add_dependency(wait)
            action = f"after {hours} h without a request the endpoint is deleted; `easel resume` creates it again"
            output(self, "IdleGuardDoes", action)

    def _add_budget(self, settings: Settings) -> None:
        """GovCloud has no AWS Budgets. In China, AWS Budgets cannot publish to SNS."""
        budget = "none"
        if settings.budget_usd and self._has_budgets():
            MonthlyBudget(self, "MonthlyBudget", usd=settings.budget_usd, topic=self.alerts.topic)
            budget = (
                f"{settings.budget_usd} USD a month of {SERVICE} in this account; alerts at 50, 100, forecast 100 %"
            )
        output(self, "Budget", budget)

    def _has_budgets(self) -> bool:
        return cdk.Token.is_unresolved(self.region) or not self.region.startswith(("cn-", "us-gov-", "us-iso"))

    def _add_outputs(self, settings: Settings, model: Model) -> None:
        exists = self.endpoint.exists
        warm, idle = (max(1, settings.min_instances), settings.min_instances) if exists else (0, 0)
        output(self, "Model", model.id)
        output(self, "PriceWarm", price(settings.pool, warm))
        output(self, "PriceIdle", price(settings.pool, idle))
        output(self, "AlertsGoTo", self.alerts.recipient)
        output(self, "NextUpdate", _next_update(settings))
        if settings.shell == "on" and exists:
            target = f"sagemaker-endpoint:{self.endpoint.name}_{VARIANT}_<instance>"
            output(self, "ShellCommand", f"aws ssm start-session --region {self.region} --target {target}")


def _next_update(settings: Settings) -> str:
    """Return what quota the deploy of another model or other code needs. Synthesis cannot look up the quota."""
    most, types = settings.max_instances, " or ".join(settings.pool)
    if settings.endpoint == "off":
        return f"there is no endpoint; the next deploy without endpoint=off needs a quota of {most} x {types}"
    watch = (
        "is watched for 10 minutes and rolled back by alarm" if settings.update == "blue_green" else "is not watched"
    )
    return (
        f"starts new instances before the old ones stop, and {watch}. It needs a quota of up to {2 * most} x {types} "
        "for endpoint usage. With less, first run npx cdk deploy EaselModel -c endpoint=off, then deploy"
    )
