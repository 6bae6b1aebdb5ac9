"""CloudFormation types of SageMaker and of Application Auto Scaling."""

import time
import uuid

from ministack.services.cloudformation import provisioners

from ..aws_api.service import Parameters, Service, ServiceError
from ..sagemaker.control_plane import SageMaker
from ..sagemaker.records import RecordTable
from . import concurrent_creation, stack_deletion
from .handler import Created, Handler, call, replacing

STABLE_SECONDS = 300


def named(service: Service, table: RecordTable) -> Handler:
    """Return the handler of a SageMaker type that CloudFormation names, replaces and deletes, but never updates."""
    prefix = table.prefix

    def create(logical_id: str, properties: Parameters, stack: str) -> Created:
        name = properties.get(f"{prefix}Name") or provisioners._physical_name(stack, logical_id, max_len=63)
        arn = call(service, f"Create{prefix}", **{**properties, f"{prefix}Name": name})[f"{prefix}Arn"]
        return arn, {f"{prefix}Name": name, "Id": arn}

    def delete(arn: str, _: Parameters) -> None:
        if table.name_of(arn) in table.records:
            call(service, f"Delete{prefix}", **{f"{prefix}Name": table.name_of(arn)})

    return replacing(create, delete)


UPDATE_ONLY = {"RetainAllVariantProperties", "ExcludeRetainedVariantProperties", "RetainDeploymentConfig"}
"""Properties of AWS::SageMaker::Endpoint that only UpdateEndpoint takes."""


def without(properties: Parameters, names: set[str]) -> Parameters:
    return {name: value for name, value in properties.items() if name not in names}


class Endpoints:
    """AWS::SageMaker::Endpoint: another configuration is an update in place."""

    def __init__(self, service: Service, control: SageMaker) -> None:
        self.service, self.control, self.table = service, control, control.endpoint_records
        self.plain = named(service, self.table)

    def create(self, logical_id: str, properties: Parameters, stack: str) -> Created:
        created = self.plain.create(logical_id, without(properties, UPDATE_ONLY), stack)
        try:
            self._wait_until_in_service(created[1]["EndpointName"], stack)
        except RuntimeError:
            concurrent_creation.wait_for_watch(stack)
            self.delete(created[0], properties)
            raise
        return created

    def update(self, arn: str, old: Parameters, new: Parameters, stack: str, logical_id: str) -> Created:
        name = self.table.name_of(arn)
        if old["EndpointConfigName"] != new["EndpointConfigName"]:
            call(self.service, "UpdateEndpoint", **{**without(new, {"Tags"}), "EndpointName": name})
            self._wait_until_in_service(name, stack)
        return arn, {"EndpointName": name, "Id": arn}

    def delete(self, arn: str, properties: Parameters) -> None:
        """Delete without a retry. Whether CloudFormation retries when SageMaker refuses is not known."""
        self.plain.delete(arn, properties)
        while self.table.name_of(arn) in self.table.records:
            time.sleep(0.1)

    def _wait_until_in_service(self, name: str, stack: str) -> None:
        end = time.monotonic() + STABLE_SECONDS
        while time.monotonic() < end and stack not in stack_deletion.cancelled:
            endpoint = call(self.service, "DescribeEndpoint", EndpointName=name)
            if failure := endpoint.get("FailureReason"):
                raise RuntimeError(f"Resource of type 'AWS::SageMaker::Endpoint' did not stabilize. {failure}")
            if endpoint["EndpointStatus"] == "InService":
                return
            time.sleep(0.1)
        if stack not in stack_deletion.cancelled:
            raise RuntimeError(f"{name} is not in service after {STABLE_SECONDS} s")


class NotebookInstances:
    """AWS::SageMaker::NotebookInstance. A running instance is stopped before it is deleted, as on AWS."""

    def __init__(self, service: Service, table: RecordTable) -> None:
        self.service, self.table = service, table
        self.plain = named(service, table)

    def create(self, logical_id: str, properties: Parameters, stack: str) -> Created:
        """Create with a name that does not begin with the stack's: only tags show the owner."""
        name = f"{logical_id}-{uuid.uuid4().hex[:12]}"
        created = self.plain.create(logical_id, {"NotebookInstanceName": name, **properties}, stack)
        if self._wait_until_settled(name) == "Failed":
            reason = self.table.find(name)["FailureReason"]
            self.delete(created[0], properties)
            raise RuntimeError(f"Resource of type 'AWS::SageMaker::NotebookInstance' did not stabilize. {reason}")
        return created

    def update(self, arn: str, old: Parameters, new: Parameters, stack: str, logical_id: str) -> Created:
        if old != new:
            raise ValueError(f"a change of {logical_id} is not emulated")
        return arn, {"NotebookInstanceName": self.table.name_of(arn), "Id": arn}

    def delete(self, arn: str, _: Parameters) -> None:
        name = self.table.name_of(arn)
        if self._wait_until_settled(name) == "InService":
            call(self.service, "StopNotebookInstance", NotebookInstanceName=name)
        if self._wait_until_settled(name):
            call(self.service, "DeleteNotebookInstance", NotebookInstanceName=name)
        self._wait_until_settled(name)

    def _wait_until_settled(self, name: str) -> str:
        """Return the state after all transitions; empty if there is no such instance."""
        end = time.monotonic() + STABLE_SECONDS
        while time.monotonic() < end:
            status = str(self.table.records.get(name, {}).get("NotebookInstanceStatus", ""))
            if status not in ("Pending", "Stopping", "Deleting"):
                return status
            time.sleep(0.1)
        raise RuntimeError(f"{name} is still {status} after {STABLE_SECONDS} s")


class Scaling:
    """Scalable target and scaling policy, with the physical ids of CloudFormation."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def put_target(self, _: str, properties: Parameters, __: str) -> Created:
        tags = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
        call(self.service, "RegisterScalableTarget", **{**properties, "Tags": tags})
        target = "|".join(properties[name] for name in ("ResourceId", "ScalableDimension", "ServiceNamespace"))
        return target, {"Id": target}

    def delete_target(self, physical_id: str, _: Parameters) -> None:
        self._delete("DeregisterScalableTarget", _parse_target(physical_id))

    def put_policy(self, _: str, properties: Parameters, __: str) -> Created:
        arn = call(self.service, "PutScalingPolicy", **_policy(properties))["PolicyARN"]
        return arn, {"Arn": arn}

    def delete_policy(self, _: str, properties: Parameters) -> None:
        names = ("PolicyName", "ResourceId", "ScalableDimension", "ServiceNamespace")
        self._delete("DeleteScalingPolicy", {name: _policy(properties)[name] for name in names})

    def _delete(self, operation: str, parameters: Parameters) -> None:
        try:
            call(self.service, operation, **parameters)
        except ServiceError as error:
            if error.code != "ObjectNotFoundException":
                raise


def _parse_target(physical_id: str) -> Parameters:
    return dict(zip(("ResourceId", "ScalableDimension", "ServiceNamespace"), physical_id.split("|"), strict=True))


def _policy(properties: Parameters) -> Parameters:
    rest = dict(properties)
    return {**_parse_target(rest.pop("ScalingTargetId")), **rest} if "ScalingTargetId" in rest else rest
