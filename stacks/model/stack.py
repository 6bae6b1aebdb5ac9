"""The model stack: a release, the endpoint that serves it, its scaling, and what limits its cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aws_cdk as cdk
from constructs import Construct

from stacks.common.failures import alert, errors_of
from stacks.common.function_backed_resource import FunctionBackedResource
from stacks.common.outputs import output
from stacks.config.catalogue import Model
from stacks.config.prices import price
from stacks.config.settings import Settings
from stacks.model.budget_stop import BudgetStop
from stacks.model.endpoint import VARIANT, Endpoint
from stacks.model.endpoint_start import EndpointStart
from stacks.model.idle_guard import IdleGuard
from stacks.model.release.expiry import ReleaseExpiry
from stacks.model.release.release import Release
from stacks.model.scaling import Scaling
from stacks.model.wait_for_endpoint import WaitForEndpoint
from stacks.storage.stack import StorageStack

MODEL_CODE = Path(__file__).parents[2] / "model_code"
DEPLOY_PERIOD = cdk.Duration.minutes(5)
DEPLOY_ALARM = "DeployFunctionErrors"
DEPLOY_TEXT = (
    "During a deploy or a destroy, a function ended without a response, and CloudFormation waits for it for up to an "
    "hour. `easel doctor` names the resource that takes longest; the function's log says why. To end the wait: `aws "
    "cloudformation cancel-update-stack --stack-name EaselModel`."
)
"""Alarm of the functions behind custom resources. Other errors reach CloudFormation, which fails the resource."""


class ModelStack(cdk.Stack):
    """The only stack of the service that is billed by the hour."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        model: Model,
        storage: StorageStack,
        code: Path = MODEL_CODE,
        **options: Any,
    ) -> None:
        super().__init__(scope, id, description=f"Easel: the endpoint that runs {model.id}", **options)
        bucket = storage.bucket
        release = Release(self, "Release", settings=settings, bucket=bucket, model=model, code=code)
        self.endpoint = Endpoint(
            self,
            "Endpoint",
            settings=settings,
            storage=storage,
            release=release.uri,
            profile=model.container_profile,
        )
        expiry = ReleaseExpiry(self, "ReleaseExpiry", bucket=bucket, uri=release.uri, log_days=settings.log_days)
        expiry.node.add_dependency(self.endpoint)
        self.alerts = storage.alerts
        if self.endpoint.exists:
            self._scale_and_guard(settings, storage)
        self._watch_deploy_functions(settings)
        self._add_outputs(settings, model)

    def _scale_and_guard(self, settings: Settings, storage: StorageStack) -> None:
        """Add what watches the endpoint and what changes it. A destroy deletes the latter before it waits."""
        EndpointStart(self, "EndpointStart", endpoint=self.endpoint, bucket=storage.bucket, log_days=settings.log_days)
        wait = WaitForEndpoint(self, "WaitForEndpoint", endpoint=self.endpoint, log_days=settings.log_days)
        wait.after(self.endpoint)
        scaling = Scaling(self, "Scaling", endpoint=self.endpoint)
        scaling.node.add_dependency(wait)
        if hours := settings.idle_hours:
            topic = storage.alerts.topic
            guard = IdleGuard(self, "IdleGuard", endpoint=self.endpoint, topic=topic, log_days=settings.log_days)
            guard.node.add_dependency(wait)
            action = f"after {hours} h without a request the endpoint is deleted; `easel resume` creates it again"
            output(self, "IdleGuardDoes", settings.names.in_commands(action))
        if settings.budget_action == "stop":
            stop = BudgetStop(self, "BudgetStop", endpoint=self.endpoint, storage=storage)
            stop.node.add_dependency(wait, scaling)
            action = "at 100 % of the budget the endpoint is stopped, until `easel resume`"
            output(self, "BudgetStopDoes", settings.names.in_commands(action))

    def _watch_deploy_functions(self, settings: Settings) -> None:
        """Add one alarm for all functions behind custom resources: each metric of an alarm is billed."""
        resources = [node for node in self.node.find_all() if isinstance(node, FunctionBackedResource)]
        errors = errors_of([resource.function for resource in resources], DEPLOY_PERIOD)
        alert(self, DEPLOY_ALARM, errors, self.alerts.topic, settings.names.in_commands(DEPLOY_TEXT))

    def _add_outputs(self, settings: Settings, model: Model) -> None:
        exists = self.endpoint.exists
        warm, idle = (max(1, settings.min_instances), settings.min_instances) if exists else (0, 0)
        output(self, "Model", model.id)
        output(self, "PriceWarm", price(settings.pool, warm))
        output(self, "PriceIdle", price(settings.pool, idle))
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
    return settings.names.in_commands(
        f"starts new instances before the old ones stop, and {watch}. It needs a quota of up to {2 * most} x {types} "
        "for endpoint usage. With less, first run npx cdk deploy EaselModel -c endpoint=off, then deploy"
    )
