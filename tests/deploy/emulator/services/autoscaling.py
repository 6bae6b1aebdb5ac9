"""Application Auto Scaling: scalable targets and policies. It scales between zero and one, while a test lets it."""

import re
import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

from ..aws_api.service import ACCOUNT, REGION, Parameters, ServiceError
from ..sagemaker.endpoint import Endpoint

Key = tuple[str, str, str]
"""Service namespace, resource id, scalable dimension."""
DIMENSION = "sagemaker:variant:DesiredInstanceCount"
SCALING_SECONDS = 0.5
UPDATED = (
    "ServiceNamespace", "ResourceId", "ScalableDimension", "RoleARN", "MinCapacity", "MaxCapacity", "SuspendedState",
)  # fmt: skip
"""What RegisterScalableTarget changes. It leaves what a request does not name."""


def key_of(parameters: Parameters) -> Key:
    return parameters["ServiceNamespace"], parameters["ResourceId"], parameters["ScalableDimension"]


class AutoScaling:
    """Keeps targets and policies of `endpoints`, whose waiting invocations are in `backlog`.

    While the file `switch` exists, an endpoint that may scale to zero does so when nothing has waited for the seconds
    in the file (empty: at once), and wakes for a request. A policy's metric and cooldown do not matter.
    """

    def __init__(self, endpoints: Mapping[str, Endpoint], backlog: Mapping[str, int], switch: Path) -> None:
        self.endpoints, self.backlog, self.switch = endpoints, backlog, switch
        self.targets: dict[Key, Parameters] = {}
        self.policies: dict[tuple[Key, str], Parameters] = {}
        self._stopped = threading.Event()
        self.busy_at: dict[str, float] = {}
        threading.Thread(target=self._scale_all, daemon=True).start()

    def stop(self) -> None:
        """Scale no more."""
        self._stopped.set()

    def _scale_all(self) -> None:
        while not self._stopped.wait(SCALING_SECONDS):
            quiet_seconds = self._quiet_seconds()
            if quiet_seconds is not None:
                for key, target in list(self.targets.items()):
                    endpoint = self.endpoints.get(key[1].split("/")[1])
                    if endpoint and endpoint.fleet and endpoint.status == "InService" and not target["MinCapacity"]:
                        self._scale(endpoint, endpoint.fleet.instances, target["SuspendedState"], quiet_seconds)

    def _quiet_seconds(self) -> float | None:
        """Return the seconds in the switch; None: there is no switch."""
        try:
            return float(self.switch.read_text() or 0)
        except FileNotFoundError:
            return None

    def _scale(self, endpoint: Endpoint, instances: int, suspended: Parameters, quiet_seconds: float) -> None:
        waits = bool(self.backlog.get(endpoint.name))
        if waits or not instances:
            self.busy_at[endpoint.name] = time.monotonic()
        quiet = time.monotonic() - self.busy_at.setdefault(endpoint.name, time.monotonic())
        if not waits and quiet < quiet_seconds:
            return
        wanted = int(waits)
        direction = "Out" if wanted > instances else "In"
        if wanted != instances and not suspended.get(f"DynamicScaling{direction}Suspended"):
            endpoint.scale(wanted)

    def register_scalable_target(self, parameters: Parameters) -> Parameters:
        self._check_endpoint(parameters)
        new = {"CreationTime": time.time(), "RoleARN": _service_role(), "SuspendedState": {}}
        target = self.targets.get(key_of(parameters), new)
        target.update({name: parameters[name] for name in UPDATED if name in parameters})
        if not {"MinCapacity", "MaxCapacity"} <= target.keys() or target["MinCapacity"] > target["MaxCapacity"]:
            raise ServiceError("ValidationException", "MinCapacity and MaxCapacity are required, the least first")
        self.targets[key_of(parameters)] = target
        return {"ScalableTargetARN": _arn("application-autoscaling", f"scalable-target/{uuid.uuid4().hex[:12]}")}

    def _check_endpoint(self, parameters: Parameters) -> None:
        """Check that the variant exists. Only an asynchronous endpoint may scale to zero. Raises ServiceError."""
        match = re.fullmatch(r"endpoint/([^/]+)/variant/([^/]+)", parameters["ResourceId"])
        if parameters["ServiceNamespace"] != "sagemaker" or parameters["ScalableDimension"] != DIMENSION or not match:
            raise ServiceError("ValidationException", f"{key_of(parameters)} is not emulated")
        endpoint = self.endpoints.get(match[1])
        variants = endpoint.fleet.config["ProductionVariants"] if endpoint and endpoint.fleet else []
        if not endpoint or not endpoint.fleet or match[2] not in [variant["VariantName"] for variant in variants]:
            raise ServiceError("ValidationException", f"Endpoint or variant not found: {parameters['ResourceId']}")
        if parameters.get("MinCapacity") == 0 and "AsyncInferenceConfig" not in endpoint.fleet.config:
            raise ServiceError("ValidationException", "Minimum capacity cannot be less than 1 for this resource")

    def describe_scalable_targets(self, parameters: Parameters) -> Parameters:
        namespace = parameters["ServiceNamespace"]
        return {"ScalableTargets": [target for key, target in self.targets.items() if key[0] == namespace]}

    def deregister_scalable_target(self, parameters: Parameters) -> None:
        key = self._registered(parameters)
        del self.targets[key]
        self.policies = {known: policy for known, policy in self.policies.items() if known[0] != key}

    def put_scaling_policy(self, parameters: Parameters) -> Parameters:
        key = self._registered(parameters)
        name = parameters["PolicyName"]
        arn = _arn("autoscaling", f"scalingPolicy:{uuid.uuid4()}:resource/{key[0]}/{key[1]}:policyName/{name}")
        policy = self.policies.setdefault((key, name), {"PolicyARN": arn, "CreationTime": time.time()})
        policy.update(parameters)
        return {"PolicyARN": policy["PolicyARN"], "Alarms": []}

    def describe_scaling_policies(self, parameters: Parameters) -> Parameters:
        namespace = parameters["ServiceNamespace"]
        return {"ScalingPolicies": [policy for (key, _), policy in self.policies.items() if key[0] == namespace]}

    def delete_scaling_policy(self, parameters: Parameters) -> None:
        known = key_of(parameters), parameters["PolicyName"]
        if known not in self.policies:
            raise ServiceError("ObjectNotFoundException", f"No scaling policy found for {known}")
        del self.policies[known]

    def _registered(self, parameters: Parameters) -> Key:
        key = key_of(parameters)
        if key not in self.targets:
            raise ServiceError(
                "ObjectNotFoundException",
                f"No scalable target registered for service namespace: {key[0]}, resource ID: {key[1]}, "
                f"scalable dimension: {key[2]}",
            )
        return key


def _service_role() -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"


def _arn(service: str, rest: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{rest}"
