"""The model stack: of each model a release, the endpoint that serves it, its scaling, and what limits its cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import aws_cdk as cdk
from constructs import Construct

from stacks.common.failures import alert, errors_of
from stacks.common.function_backed_resource import FunctionBackedResource
from stacks.common.outputs import output
from stacks.config.instances import Choice
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
    """The only stack of the service that is billed by the hour. `endpoints`: one for each of `choices`."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        choices: Sequence[Choice],
        storage: StorageStack,
        code: Path = MODEL_CODE,
        **options: Any,
    ) -> None:
        ids = ", ".join(choice.model.id for choice in choices)
        super().__init__(scope, id, description=f"Easel: the endpoints that run {ids}"[:1024], **options)
        self.alerts, self.endpoints = storage.alerts, list[Endpoint]()
        uris = [self._add_model(choice, storage, code) for choice in choices]
        expiry = ReleaseExpiry(self, "ReleaseExpiry", bucket=storage.bucket, uris=uris, log_days=settings.log_days)
        expiry.node.add_dependency(*self.endpoints)
        if settings.endpoint == "on":
            self._limit_cost(settings, choices, storage)
        self._watch_deploy_functions(settings)
        self._add_outputs(settings, choices)

    def _add_model(self, choice: Choice, storage: StorageStack, code: Path) -> str:
        """Add the resources of a model, and return the URI of its release.

        Those of a further model are below a construct with its id: it comes and goes without a change of the others.
        The first model has none, so that the endpoint is updated when another takes its place.
        """
        model, settings, is_default = choice.model, choice.settings, not self.endpoints
        scope = self if is_default else Construct(self, f"Model-{model.id}")
        release = Release(
            scope, "Release", settings=settings, bucket=storage.bucket, model=model, code=code, is_default=is_default
        )
        endpoint = Endpoint(
            scope,
            "Endpoint",
            settings=settings,
            storage=storage,
            release=release.uri,
            profile=model.container_profile,
            model=model.id,
            is_default=is_default,
        )
        if endpoint.exists:
            self._scale_and_guard(scope, endpoint, storage)
        self.endpoints.append(endpoint)
        return release.uri

    def _scale_and_guard(self, scope: Construct, endpoint: Endpoint, storage: StorageStack) -> None:
        """Add what watches the endpoint and what changes it. A destroy deletes the latter before it waits."""
        days = endpoint.settings.log_days
        EndpointStart(scope, "EndpointStart", endpoint=endpoint, bucket=storage.bucket, log_days=days)
        wait = WaitForEndpoint(scope, "WaitForEndpoint", endpoint=endpoint, log_days=days)
        wait.after(endpoint)
        Scaling(scope, "Scaling", endpoint=endpoint).node.add_dependency(wait)
        if endpoint.settings.idle_hours:
            guard = IdleGuard(scope, "IdleGuard", endpoint=endpoint, topic=storage.alerts.topic, log_days=days)
            guard.node.add_dependency(wait)

    def _limit_cost(self, settings: Settings, choices: Sequence[Choice], storage: StorageStack) -> None:
        if any(choice.settings.idle_hours for choice in choices):
            output(self, "IdleGuardDoes", _of_each(choices, _guard))
        if settings.budget_action == "stop":
            stop = BudgetStop(self, "BudgetStop", endpoints=self.endpoints, storage=storage)
            changing = [node for node in self.node.find_all() if isinstance(node, WaitForEndpoint | Scaling)]
            stop.node.add_dependency(*changing)
            action = "at 100 % of the budget the endpoint is stopped, until `easel resume`"
            output(self, "BudgetStopDoes", settings.names.in_commands(action))

    def _watch_deploy_functions(self, settings: Settings) -> None:
        """Add one alarm for the functions behind custom resources of each model: each metric of an alarm is billed.

        An alarm has ten metrics at most, so each further model has an alarm of its own.
        """
        groups: dict[Construct, list[FunctionBackedResource]] = {}
        for node in self.node.find_all():
            if isinstance(node, FunctionBackedResource):
                parent = next((p for p in node.node.scopes if p.node.id.startswith("Model-")), self)
                groups.setdefault(cast(Construct, parent), []).append(node)
        for scope, resources in groups.items():
            errors = errors_of([resource.function for resource in resources], DEPLOY_PERIOD)
            alert(scope, DEPLOY_ALARM, errors, self.alerts.topic, settings.names.in_commands(DEPLOY_TEXT))

    def _add_outputs(self, settings: Settings, choices: Sequence[Choice]) -> None:
        exists = settings.endpoint == "on"
        output(self, "Model", ",".join(choice.model.id for choice in choices))
        output(self, "PriceWarm", _of_each(choices, lambda each: price(each.pool, max(1, each.min_instances) * exists)))
        output(self, "PriceIdle", _of_each(choices, lambda each: price(each.pool, each.min_instances * exists)))
        output(self, "NextUpdate", _of_each(choices, _next_update))
        if len(choices) > 1:
            names = [f"{endpoint.model}={endpoint.name}" for endpoint in self.endpoints]
            output(self, "Endpoints", ",".join(names))
        if settings.shell == "on" and exists:
            target = f"sagemaker-endpoint:{self.endpoints[0].name}_{VARIANT}_<instance>"
            output(self, "ShellCommand", f"aws ssm start-session --region {self.region} --target {target}")


def _of_each(choices: Sequence[Choice], text: Callable[[Settings], str]) -> str:
    """Return a text about the only model, or one about each with its id."""
    if len(choices) == 1:
        return text(choices[0].settings)
    return "; ".join(f"{choice.model.id}: {text(choice.settings)}" for choice in choices)


def _guard(settings: Settings) -> str:
    """Return what the idle guard does."""
    if not settings.idle_hours:
        return "the endpoint is never deleted"
    hours = settings.idle_hours
    action = f"after {hours} h without a request the endpoint is deleted; `easel resume` creates it again"
    return settings.names.in_commands(action)


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
