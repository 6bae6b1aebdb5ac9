"""`easel pause` and `easel resume`: delete a realtime endpoint while nobody uses it, and create it again as deployed.

SageMaker bills an endpoint as long as it exists. Pausing deletes the endpoint and keeps its configuration. Resuming
creates an endpoint of the same name from the stack's newest configuration. The idle guard of the stack pauses in the
same way, and so does the budget; an async endpoint it stops by suspending its autoscaling. Resuming ends that, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from easel.cloud.account import Account, aws_errors, is_not_found
from easel.cloud.budget_stop import end_stop, stopped_at
from easel.cloud.known_failures import advice_for
from easel.cloud.stack_state import RECREATE_ENDPOINT, DeployedEndpoint, find_endpoints, model_template
from easel.console.errors import ENVIRONMENT, FAILED, USAGE, CommandError
from easel.console.program_name import with_program_name
from easel.console.terminal import Terminal
from stacks.config.names import IN_SERVICE, MOVING_STATES
from stacks.config.prices import HOURS_PER_MONTH, USD_PER_HOUR

NOT_FOUND = "not found"
"""State of an endpoint that does not exist; the other states are SageMaker's."""
POLL_SECONDS = 5.0
POLL_ATTEMPTS = 6
"""A wait fails after this many unsuccessful polls in a row."""
SCALABLE_TARGET = "AWS::ApplicationAutoScaling::ScalableTarget"
SCALING_POLICY = "AWS::ApplicationAutoScaling::ScalingPolicy"
TARGET_PROPERTIES = {"ScalingTargetId", "ServiceNamespace", "ResourceId", "ScalableDimension"}
"""Properties of a policy in the template that name its target."""
SCALES = dict.fromkeys(("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended"), False)
"""State of a target whose autoscaling is not suspended."""

Sleep = Callable[[float], None]


class EndpointSwitch:
    """Pauses and resumes the endpoints of the model stack. Each wait ends after `minutes`.

    `model`: id of the only model whose endpoint is meant; empty: all.
    """

    def __init__(
        self, account: Account, minutes: int, terminal: Terminal, sleep: Sleep = time.sleep, model: str = ""
    ) -> None:
        self._account, self._minutes, self._terminal, self._sleep = account, minutes, terminal, sleep
        self._model, self._sagemaker = model, account.client("sagemaker")

    def pause(self) -> str:
        """Delete each endpoint, if it exists and is realtime. Return a sentence about each result.

        Raises CommandError: nothing is deployed, the stack is being changed, AWS refuses, or the wait ends. If one of
        several endpoints fails, the others are paused nevertheless.
        """
        return self._each(self._find_endpoints(), self._pause)

    def resume(self) -> str:
        """Create each endpoint as deployed, unless it is in service. Return a sentence about each result.

        Ends a stop by the budget first: while its marker exists, the stack's function stops the endpoints again. Raises
        CommandError as `pause` does, if an endpoint does not start, or is async and does not exist, and if only one is
        meant but the budget has stopped all.
        """
        endpoints = self._find_endpoints()
        if self._model and stopped_at(self._account):
            raise CommandError(
                "The budget has stopped all models",
                where="--model",
                why="the others would accept jobs again, and start no instance for them",
                fix="easel resume, without --model",
                code=USAGE,
            )
        was_stopped = end_stop(self._account)
        return self._each(endpoints, partial(self._resume, was_stopped=was_stopped))

    def _each(self, endpoints: Sequence[DeployedEndpoint], action: Callable[[DeployedEndpoint], str]) -> str:
        """Return what the action says about each endpoint. Raises CommandError at the end, if one or more failed."""
        results, errors = list[str](), dict[str, CommandError]()
        for deployed in endpoints:
            try:
                results.append(action(deployed))
            except CommandError as error:
                errors[deployed.model or deployed.endpoint] = error
        text = "\n".join(dict.fromkeys(results))
        if not errors:
            return text
        if text:
            self._terminal.print(with_program_name(self._account.names.in_commands(text)))
        raise _one_error(errors, len(endpoints))

    def _pause(self, deployed: DeployedEndpoint) -> str:
        name, config = deployed.endpoint, self._config(deployed)
        if "AsyncInferenceConfig" in config:
            return self._explain_async(deployed)
        if self._wait_until_settled(name) == NOT_FOUND:
            return f"{name} is already paused and costs nothing per hour. To start it: easel resume"
        self._delete(name, "Deleting the endpoint")
        return f"{name} is paused.{_savings(config)} The API responds endpoint_missing. To start it: easel resume"

    def _resume(self, deployed: DeployedEndpoint, *, was_stopped: bool) -> str:
        name, state = deployed.endpoint, self._wait_until_settled(deployed.endpoint)
        if state == IN_SERVICE:
            self._restore_scaling(deployed)
            if was_stopped and self._is_async(deployed):
                return f"{name} is no longer stopped by the budget. It takes jobs again."
            return f"{name} is already in service."
        self._check_realtime(deployed)
        if state != NOT_FOUND:  # a failed endpoint cannot be updated
            self._delete(name, "Deleting the failed endpoint")
        self._create(deployed)
        if self._wait(name, lambda state: state not in MOVING_STATES, "Starting the endpoint") != IN_SERVICE:
            raise self._start_failure(name)
        self._restore_scaling(deployed)
        return f"{name} is in service again, with the configuration {deployed.config}."

    def _explain_async(self, deployed: DeployedEndpoint) -> str:
        """Return why an async endpoint needs no pause. Raises CommandError: min_instances keeps it running."""
        scaling = self._scaling_of(deployed)
        targets = (resource["Properties"] for resource in scaling if resource["Type"] == SCALABLE_TARGET)
        if minimum := max((int(target["MinCapacity"]) for target in targets), default=0):
            stack = self._account.names.model
            raise CommandError(
                "An async endpoint cannot be paused",
                where=deployed.endpoint,
                why=f"it scales by itself, but min_instances={minimum} keeps instances running and billed",
                fix=f"npx cdk deploy {stack} -c min_instances=0, or -c endpoint=off, with your other settings",
            )
        return "Mode async needs no pause: the endpoint scales to zero by itself."

    def _check_realtime(self, deployed: DeployedEndpoint) -> None:
        """Check that the endpoint is realtime. Raises CommandError.

        Only CloudFormation can create the scaling policy that an async endpoint's wake-up alarm needs.
        """
        if self._is_async(deployed):
            raise CommandError(
                "Only CloudFormation can create an async endpoint again",
                where=deployed.endpoint,
                why="it failed or was deleted, and its wake-up alarm depends on it",
                fix=RECREATE_ENDPOINT,
            )

    def _is_async(self, deployed: DeployedEndpoint) -> bool:
        return "AsyncInferenceConfig" in self._config(deployed)

    def _find_endpoints(self) -> list[DeployedEndpoint]:
        endpoints = find_endpoints(self._account)
        chosen = [deployed for deployed in endpoints if self._model in ("", deployed.model)]
        if not chosen:
            ids = ", ".join(filter(None, (deployed.model for deployed in endpoints)))
            fix = f"--model with one of: {ids}" if ids else "Leave out --model: one model is deployed."
            why = f"{self._account.names.model} has no model {self._model!r}"
            raise CommandError("There is no such model", where="--model", why=why, fix=fix, code=USAGE)
        deployed = chosen[0]
        if deployed.stack_status.endswith("_IN_PROGRESS"):
            raise CommandError(
                "The stack is being changed",
                where=self._account.names.model,
                why=f"it is {deployed.stack_status}, and CloudFormation may change the endpoint",
                fix="Wait until CloudFormation has finished, then try again.",
            )
        return chosen

    def _config(self, deployed: DeployedEndpoint) -> dict[str, Any]:
        with aws_errors():
            response = self._sagemaker.describe_endpoint_config(EndpointConfigName=deployed.config)
        return dict(response)

    def _state(self, endpoint: str) -> str:
        try:
            with aws_errors():
                return str(self._sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"])
        except CommandError as error:
            if is_not_found(error):
                return NOT_FOUND
            raise

    def _poll(self, endpoint: str) -> str:
        """Return the state. Repeated if AWS is unreachable: an abandoned resume would leave no autoscaling."""
        for _ in range(POLL_ATTEMPTS - 1):
            try:
                return self._state(endpoint)
            except CommandError as error:
                if error.code != ENVIRONMENT:
                    raise
                self._sleep(POLL_SECONDS)
        return self._state(endpoint)

    def _wait_until_settled(self, endpoint: str) -> str:
        """Return the state after any change has finished. SageMaker refuses to delete a changing endpoint."""
        if (state := self._state(endpoint)) not in MOVING_STATES:
            return state
        return self._wait(endpoint, lambda state: state not in MOVING_STATES, f"The endpoint is {state}")

    def _wait(self, endpoint: str, is_done: Callable[[str], bool], text: str) -> str:
        """Poll until `is_done(state)` and return the state. Raises CommandError after the configured minutes."""
        continues, fix = (
            "AWS continues, and an endpoint that exists is billed",
            "Run the same command again, or check with: easel doctor",
        )
        try:
            with self._terminal.spinner(text) as tick:
                for _ in range(max(1, int(self._minutes * 60 / POLL_SECONDS))):
                    if is_done(state := self._poll(endpoint)):
                        return state
                    self._sleep(POLL_SECONDS)
                    tick()
        except KeyboardInterrupt:
            text = self._account.names.in_commands(f"{continues}. {fix}")
            self._terminal.print(with_program_name(text))
            raise
        why = f"{self._minutes} minutes have passed; {continues}"
        raise CommandError(f"The endpoint is still {state}", where=endpoint, why=why, fix=fix)

    def _delete(self, endpoint: str, text: str) -> None:
        with aws_errors():
            self._sagemaker.delete_endpoint(EndpointName=endpoint)
        self._wait(endpoint, lambda state: state == NOT_FOUND, text)

    def _create(self, deployed: DeployedEndpoint) -> None:
        """Create the endpoint with the tags of its configuration; the deleted endpoint had the same."""
        arn = self._config(deployed)["EndpointConfigArn"]
        with aws_errors():
            tags = [
                tag for tag in self._account.items("sagemaker", "list_tags", "Tags", ResourceArn=arn)
                if not tag["Key"].startswith("aws:")
            ]  # fmt: skip
        try:
            with aws_errors():
                self._sagemaker.create_endpoint(
                    EndpointName=deployed.endpoint, EndpointConfigName=deployed.config, Tags=tags
                )
        except CommandError as error:
            error.fix = error.fix or advice_for(error.why) or "easel doctor"
            raise

    def _start_failure(self, endpoint: str) -> CommandError:
        with aws_errors():
            response = self._sagemaker.describe_endpoint(EndpointName=endpoint)
        why = response.get("FailureReason", f"it is {response['EndpointStatus']}")
        fix = advice_for(why) or "easel doctor"
        return CommandError("The endpoint did not start", where=endpoint, why=why, fix=fix, code=FAILED)

    def _restore_scaling(self, deployed: DeployedEndpoint) -> None:
        """Register the autoscaling of the template, which AWS removes with an endpoint. Idempotent.

        The policies of an async endpoint exist as long as it does: the wake-up alarm refers to them.
        """
        is_async = self._is_async(deployed)
        (variant,) = self._config(deployed)["ProductionVariants"]
        target = {
            "ServiceNamespace": "sagemaker",
            "ResourceId": f"endpoint/{deployed.endpoint}/variant/{variant['VariantName']}",
            "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        }
        scaling = self._account.client("application-autoscaling")
        for resource in self._scaling_of(deployed):
            properties = resource.get("Properties", {})
            with aws_errors():
                if resource["Type"] == SCALABLE_TARGET:
                    capacity = {name: int(properties[name]) for name in ("MinCapacity", "MaxCapacity")}
                    scaling.register_scalable_target(**target, **capacity, SuspendedState=SCALES)
                    if is_async:
                        self._start_minimum(deployed.endpoint, variant["VariantName"], capacity["MinCapacity"])
                elif resource["Type"] == SCALING_POLICY and not is_async:
                    policy = {name: value for name, value in properties.items() if name not in TARGET_PROPERTIES}
                    scaling.put_scaling_policy(**target, **policy)

    def _scaling_of(self, deployed: DeployedEndpoint) -> list[dict[str, Any]]:
        """Return the resources of an endpoint's autoscaling in the template, the target first."""
        template = model_template(self._account)
        targets = {id: resource for id, resource in template.items() if resource["Type"] == SCALABLE_TARGET}
        if len(targets) > 1:
            place = f"/{deployed.endpoint}/"
            targets = {id: item for id, item in targets.items() if place in str(item["Properties"]["ResourceId"])}
        policies = [
            resource
            for resource in template.values()
            if resource["Type"] == SCALING_POLICY
            and resource["Properties"].get("ScalingTargetId", {}).get("Ref") in {*targets, None}
        ]
        return [*targets.values(), *policies]

    def _start_minimum(self, endpoint: str, variant: str, minimum: int) -> None:
        """Start the instances that always run, if they do not. Autoscaling would wait for load."""
        variants = self._sagemaker.describe_endpoint(EndpointName=endpoint).get("ProductionVariants", ())
        if sum(each.get("CurrentInstanceCount", 0) for each in variants) < minimum:
            wanted = {"VariantName": variant, "DesiredInstanceCount": minimum}
            self._sagemaker.update_endpoint_weights_and_capacities(
                EndpointName=endpoint, DesiredWeightsAndCapacities=[wanted]
            )


def _one_error(errors: Mapping[str, CommandError], endpoints: int) -> CommandError:
    """Return the only error of the only endpoint, or one about all errors, which `errors` has by model."""
    first, *others = errors.values()
    if endpoints == 1:
        return first
    return CommandError(
        f"{len(errors)} of {endpoints} endpoints failed",
        where=", ".join(errors),
        why="\n".join(f"{model}: {error.what}: {error.why}" for model, error in errors.items()),
        fix="\n".join(f"{model}: {error.fix}" for model, error in errors.items() if error.fix),
        code=first.code if all(other.code == first.code for other in others) else FAILED,
    )


def _savings(config: dict[str, Any]) -> str:
    """Return a sentence about the price that a pause saves; empty if it is unknown."""
    variant = config["ProductionVariants"][0]
    pools = variant.get("InstancePools") or [variant]
    usd = min(USD_PER_HOUR.get(pool["InstanceType"], 0) for pool in pools) * variant.get("InitialInstanceCount", 1)
    about = "about" if len(pools) == 1 else "at least"
    return f" This saves {about} {usd:.4g} USD per hour ({usd * HOURS_PER_MONTH:.0f} per month)." if usd else ""
