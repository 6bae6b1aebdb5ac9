"""`easel pause` and `easel resume`: a realtime endpoint away while nobody draws, and back as it was deployed.

SageMaker bills an endpoint as long as it exists. Pausing deletes it and keeps its configuration; resuming makes an
endpoint of the same name from the stack's newest configuration. The idle guard of the stack pauses in the same way.
docs/aws.md says what `cdk deploy` and `cdk destroy` do meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from easel.cloud.account import Account, explained, missing
from easel.cloud.known_failures import hint_for
from easel.cloud.stack_state import ANEW, STACK, Deployed, find_deployed, template
from easel.console.errors import ENVIRONMENT, FAILED, CommandError
from easel.console.terminal import Terminal
from stacks.config.prices import HOURS_PER_MONTH, USD_PER_HOUR

GONE = "gone"
"""The state of an endpoint that does not exist."""
MOVING = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
LOOK_SECONDS = 5.0
TRIES = 6
"""So often in a row AWS may not say how it goes."""
TARGET, POLICY = "AWS::ApplicationAutoScaling::ScalableTarget", "AWS::ApplicationAutoScaling::ScalingPolicy"

Sleep = Callable[[float], None]


class Switch:
    """Takes one endpoint down and brings it back. Each wait ends after `minutes`."""

    def __init__(self, account: Account, minutes: int, terminal: Terminal, sleep: Sleep = time.sleep) -> None:
        self._account, self._minutes, self._terminal, self._sleep = account, minutes, terminal, sleep
        self._sagemaker = account.client("sagemaker")

    def pause(self) -> str:
        """What was done, as a sentence; nothing where the endpoint is away already. Raises CommandError."""
        deployed = self._deployed()
        config = self._config(deployed)
        if "AsyncInferenceConfig" in config:
            return self._sleeping(deployed)
        state = self._settled(deployed.endpoint)
        if state == GONE:
            return f"{deployed.endpoint} is paused already: it costs nothing by the hour. Back with: easel resume"
        with explained():
            self._sagemaker.delete_endpoint(EndpointName=deployed.endpoint)
        self._wait(deployed.endpoint, lambda now: now == GONE, "The endpoint is going")
        meanwhile = "The API answers endpoint_missing. Back with: easel resume"
        return f"{deployed.endpoint} is paused.{_saved(config)} {meanwhile}"

    def resume(self) -> str:
        """As `pause`, the other way."""
        deployed = self._deployed()
        state = self._settled(deployed.endpoint)
        if state == "InService":
            if not self._is_async(deployed):
                self._restore_scaling(deployed)
            return f"{deployed.endpoint} is in service already."
        self._check_realtime(deployed)
        if state != GONE:  # of a failed endpoint SageMaker keeps nothing but the name
            with explained():
                self._sagemaker.delete_endpoint(EndpointName=deployed.endpoint)
            self._wait(deployed.endpoint, lambda now: now == GONE, "The failed endpoint is going")
        self._create(deployed)
        if self._wait(deployed.endpoint, lambda now: now not in MOVING, "The endpoint is starting") != "InService":
            raise self._not_started(deployed.endpoint)
        self._restore_scaling(deployed)
        return f"{deployed.endpoint} is in service again, with {deployed.config}."

    def _sleeping(self, deployed: Deployed) -> str:
        """Raises CommandError where the endpoint was deployed so that it never sleeps."""
        targets = (one["Properties"] for one in template(self._account).values() if one["Type"] == TARGET)
        if least := max((int(target["MinCapacity"]) for target in targets), default=0):
            raise CommandError(
                "An async endpoint is not paused",
                where=deployed.endpoint,
                why=f"it sleeps by itself, but min_instances={least} was deployed, which keeps it awake and billed",
                fix="npx cdk deploy EaselModel -c min_instances=0, or -c endpoint=off, with your other settings",
            )
        return "Mode async needs no pause: it scales to zero by itself."

    def _check_realtime(self, deployed: Deployed) -> None:
        """The alarm that wakes an async endpoint holds on to a policy that goes with it; CloudFormation makes both."""
        if self._is_async(deployed):
            raise CommandError(
                "Only CloudFormation can bring an async endpoint back",
                where=deployed.endpoint,
                why="it was deleted or failed, and the alarm that wakes it belongs to it",
                fix=ANEW,
            )

    def _is_async(self, deployed: Deployed) -> bool:
        return "AsyncInferenceConfig" in self._config(deployed)

    def _deployed(self) -> Deployed:
        deployed = find_deployed(self._account)
        if deployed.stack_status.endswith("_IN_PROGRESS"):
            raise CommandError(
                "The stack is being changed",
                where=STACK,
                why=f"it is {deployed.stack_status}, and CloudFormation may be at the endpoint",
                fix="Wait until cdk has ended, then try again.",
            )
        return deployed

    def _config(self, deployed: Deployed) -> dict[str, Any]:
        with explained():
            told = self._sagemaker.describe_endpoint_config(EndpointConfigName=deployed.config)
        return dict(told)

    def _state(self, endpoint: str) -> str:
        try:
            with explained():
                return str(self._sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"])
        except CommandError as error:
            if missing(error):
                return GONE
            raise

    def _patient_state(self, endpoint: str) -> str:
        """In so long a wait AWS may be out of reach for a moment; given up, it would leave the scaling behind."""
        for _ in range(TRIES - 1):
            try:
                return self._state(endpoint)
            except CommandError as error:
                if error.code != ENVIRONMENT:
                    raise
                self._sleep(LOOK_SECONDS)
        return self._state(endpoint)

    def _settled(self, endpoint: str) -> str:
        """SageMaker deletes no endpoint that is on its way to another state."""
        if (state := self._state(endpoint)) not in MOVING:
            return state
        return self._wait(endpoint, lambda now: now not in MOVING, f"The endpoint is {state}")

    def _wait(self, endpoint: str, done: Callable[[str], bool], text: str) -> str:
        with self._terminal.waiting(text) as tick:
            for _ in range(max(1, int(self._minutes * 60 / LOOK_SECONDS))):
                if done(state := self._patient_state(endpoint)):
                    return state
                self._sleep(LOOK_SECONDS)
                tick()
        raise CommandError(
            f"The endpoint is still {state}",
            where=endpoint,
            why=f"{self._minutes} minutes have passed; AWS goes on without us, and an endpoint that exists is billed",
            fix="Run the same command again, or look with: easel doctor",
        )

    def _create(self, deployed: Deployed) -> None:
        """With the tags of its configuration: those of the deleted endpoint are gone, and both had the same."""
        arn = self._config(deployed)["EndpointConfigArn"]
        with explained():
            tags = [
                tag for tag in self._account.all("sagemaker", "list_tags", "Tags", ResourceArn=arn)
                if not tag["Key"].startswith("aws:")
            ]  # fmt: skip
        try:
            with explained():
                self._sagemaker.create_endpoint(
                    EndpointName=deployed.endpoint, EndpointConfigName=deployed.config, Tags=tags
                )
        except CommandError as error:
            error.fix = error.fix or hint_for(error.why) or "easel doctor"
            raise

    def _not_started(self, endpoint: str) -> CommandError:
        with explained():
            told = self._sagemaker.describe_endpoint(EndpointName=endpoint)
        why = told.get("FailureReason", f"it is {told['EndpointStatus']}")
        fix = hint_for(why) or "easel doctor"
        return CommandError("The endpoint did not start", where=endpoint, why=why, fix=fix, code=FAILED)

    def _restore_scaling(self, deployed: Deployed) -> None:
        """Autoscaling forgets an endpoint that goes. Both calls change nothing where all is as the template says."""
        (variant,) = self._config(deployed)["ProductionVariants"]
        where = {
            "ServiceNamespace": "sagemaker",
            "ResourceId": f"endpoint/{deployed.endpoint}/variant/{variant['VariantName']}",
            "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        }
        scaling = self._account.client("application-autoscaling")
        resources = sorted(template(self._account).values(), key=lambda one: one["Type"] != TARGET)
        for resource in resources:
            wanted = resource.get("Properties", {})
            with explained():
                if resource["Type"] == TARGET:
                    capacity = {name: int(wanted[name]) for name in ("MinCapacity", "MaxCapacity")}
                    scaling.register_scalable_target(**where, **capacity)
                elif resource["Type"] == POLICY:
                    kept = {name: value for name, value in wanted.items() if name not in TEMPLATE_ONLY}
                    scaling.put_scaling_policy(**where, **kept)


TEMPLATE_ONLY = {"ScalingTargetId", "ServiceNamespace", "ResourceId", "ScalableDimension"}
"""What the template says of a policy beside the policy: which target it belongs to."""


def _saved(config: dict[str, Any]) -> str:
    variant = config["ProductionVariants"][0]
    pools = variant.get("InstancePools") or [variant]
    usd = min(USD_PER_HOUR.get(pool["InstanceType"], 0) for pool in pools) * variant.get("InitialInstanceCount", 1)
    about = "about" if len(pools) == 1 else "at least"
    return f" That saves {about} {usd:.4g} USD an hour ({usd * HOURS_PER_MONTH:.0f} a month)." if usd else ""
