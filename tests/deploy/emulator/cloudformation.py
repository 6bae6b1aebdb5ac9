"""The CloudFormation types that MiniStack 1.5.33 lacks, as handlers of its own engine."""

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.model import Shape
from ministack.services import tagging
from ministack.services.cloudformation import provisioners, stacks

from . import deletion, keys
from .buckets import Buckets, Made
from .notebooks import Notebooks
from .sagemaker import SageMaker, Shelf
from .service import ACCOUNT, Parameters, Service, ServiceError

STABLE_SECONDS = 300

Create = Callable[[str, Parameters, str], Made]
Delete = Callable[[str, Parameters], None]
Update = Callable[[str, Parameters, Parameters, str, str], Made]


@dataclass(frozen=True)
class Handler:
    create: Create
    update: Update
    delete: Delete


def replacing(create: Create, delete: Delete) -> Handler:
    """A type that is made anew when anything but its tags changes."""

    def update(physical_id: str, old: Parameters, new: Parameters, stack: str, logical_id: str) -> Made:
        if {**old, "Tags": None} == {**new, "Tags": None}:
            return physical_id, {}
        made: Made = provisioners._seeded_create(create, logical_id, new, stack)
        if made[0] != physical_id:
            provisioners._delete_predecessor(delete, physical_id, old)
        return made

    return Handler(create, update, delete)


def typed(shape: Shape, value: Any) -> Any:
    """CloudFormation may hand a number or a boolean over as a string; the API wants it as what it is."""
    match shape.type_name:
        case "structure":
            return {name: typed(shape.members[name], inner) if name in shape.members else inner
                    for name, inner in value.items()}  # fmt: skip
        case "list":
            return [typed(shape.member, inner) for inner in value]
        case "map":
            text = shape.value.type_name == "string"
            return {key: str(inner) if text else typed(shape.value, inner) for key, inner in value.items()}
        case "integer" | "long":
            return int(value)
        case "float" | "double":
            return float(value)
        case "boolean":
            return str(value).lower() == "true"
    return value


def call(service: Service, operation: str, **parameters: Any) -> Parameters:
    shape = service.operation(operation).input_shape
    return service.call(operation, typed(shape, parameters))


def named(service: Service, shelf: Shelf) -> Handler:
    """A SageMaker thing that CloudFormation makes, names and deletes, and never changes."""
    prefix = shelf.prefix

    def create(logical_id: str, properties: Parameters, stack: str) -> Made:
        name = properties.get(f"{prefix}Name") or provisioners._physical_name(stack, logical_id, max_len=63)
        arn = call(service, f"Create{prefix}", **{**properties, f"{prefix}Name": name})[f"{prefix}Arn"]
        return arn, {f"{prefix}Name": name, "Id": arn}

    def delete(arn: str, _: Parameters) -> None:
        if shelf.name_of(arn) in shelf.records:
            call(service, f"Delete{prefix}", **{f"{prefix}Name": shelf.name_of(arn)})

    return replacing(create, delete)


ONLY_UPDATES = {"RetainAllVariantProperties", "ExcludeRetainedVariantProperties", "RetainDeploymentConfig"}
"""Properties of AWS::SageMaker::Endpoint that only UpdateEndpoint takes."""


def without(properties: Parameters, names: set[str]) -> Parameters:
    return {name: value for name, value in properties.items() if name not in names}


class Endpoints:
    """AWS::SageMaker::Endpoint: a change of configuration is an update in place."""

    def __init__(self, service: Service, control: SageMaker) -> None:
        self.service, self.control = service, control
        self.plain = named(service, control.shelf)

    def create(self, logical_id: str, properties: Parameters, stack: str) -> Made:
        made = self.plain.create(logical_id, without(properties, ONLY_UPDATES), stack)
        try:
            self._stabilise(made[1]["EndpointName"], stack)
        except RuntimeError:
            self.delete(made[0], properties)
            raise
        return made

    def update(self, arn: str, old: Parameters, new: Parameters, stack: str, logical_id: str) -> Made:
        name = self.control.shelf.name_of(arn)
        if old["EndpointConfigName"] != new["EndpointConfigName"]:
            call(self.service, "UpdateEndpoint", **{**without(new, {"Tags"}), "EndpointName": name})
            self._stabilise(name, stack)
        return arn, {"EndpointName": name, "Id": arn}

    def delete(self, arn: str, properties: Parameters) -> None:
        """Whether CloudFormation tries again where SageMaker refuses is not known: here it does not."""
        self.plain.delete(arn, properties)
        while self.control.shelf.name_of(arn) in self.control.shelf.records:
            time.sleep(0.1)

    def _stabilise(self, name: str, stack: str) -> None:
        end = time.monotonic() + STABLE_SECONDS
        while time.monotonic() < end and stack not in deletion.cancelled:
            found = call(self.service, "DescribeEndpoint", EndpointName=name)
            if failure := found.get("FailureReason"):
                raise RuntimeError(f"Resource of type 'AWS::SageMaker::Endpoint' did not stabilize. {failure}")
            if found["EndpointStatus"] == "InService":
                return
            time.sleep(0.1)
        if stack not in deletion.cancelled:
            raise RuntimeError(f"{name} is not in service after {STABLE_SECONDS} s")


class NotebookInstances:
    """AWS::SageMaker::NotebookInstance. As its type's rights say, one that runs is stopped before it is deleted."""

    def __init__(self, service: Service, shelf: Shelf) -> None:
        self.service, self.shelf = service, shelf
        self.plain = named(service, shelf)

    def create(self, logical_id: str, properties: Parameters, stack: str) -> Made:
        """Named as if CloudFormation did not begin with the stack's name: only tags tell whose it is."""
        name = f"{logical_id}-{uuid.uuid4().hex[:12]}"
        made = self.plain.create(logical_id, {"NotebookInstanceName": name, **properties}, stack)
        if self._resting(name) == "Failed":
            reason = self.shelf.find(name)["FailureReason"]
            self.delete(made[0], properties)
            raise RuntimeError(f"Resource of type 'AWS::SageMaker::NotebookInstance' did not stabilize. {reason}")
        return made

    def update(self, arn: str, old: Parameters, new: Parameters, stack: str, logical_id: str) -> Made:
        if old != new:
            raise ValueError(f"a change of {logical_id} is not in the stand-in")
        return arn, {"NotebookInstanceName": self.shelf.name_of(arn), "Id": arn}

    def delete(self, arn: str, _: Parameters) -> None:
        name = self.shelf.name_of(arn)
        if self._resting(name) == "InService":
            call(self.service, "StopNotebookInstance", NotebookInstanceName=name)
        if self._resting(name):
            call(self.service, "DeleteNotebookInstance", NotebookInstanceName=name)
        self._resting(name)

    def _resting(self, name: str) -> str:
        """Its state, once it is on its way to no other; empty: there is none."""
        end = time.monotonic() + STABLE_SECONDS
        while time.monotonic() < end:
            status = str(self.shelf.records.get(name, {}).get("NotebookInstanceStatus", ""))
            if status not in ("Pending", "Stopping", "Deleting"):
                return status
            time.sleep(0.1)
        raise RuntimeError(f"{name} is still {status} after {STABLE_SECONDS} s")


class Scaling:
    """The scalable target and its policies. Their physical ids are those of CloudFormation."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def put_target(self, _: str, properties: Parameters, __: str) -> Made:
        tags = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
        call(self.service, "RegisterScalableTarget", **{**properties, "Tags": tags})
        target = "|".join(properties[name] for name in ("ResourceId", "ScalableDimension", "ServiceNamespace"))
        return target, {"Id": target}

    def delete_target(self, physical_id: str, _: Parameters) -> None:
        self._delete("DeregisterScalableTarget", _target(physical_id))

    def put_policy(self, _: str, properties: Parameters, __: str) -> Made:
        arn = call(self.service, "PutScalingPolicy", **_policy(properties))["PolicyARN"]
        return arn, {"Arn": arn}

    def delete_policy(self, _: str, properties: Parameters) -> None:
        told = ("PolicyName", "ResourceId", "ScalableDimension", "ServiceNamespace")
        self._delete("DeleteScalingPolicy", {name: _policy(properties)[name] for name in told})

    def _delete(self, operation: str, parameters: Parameters) -> None:
        try:
            call(self.service, operation, **parameters)
        except ServiceError as error:
            if error.code != "ObjectNotFoundException":
                raise


def _target(physical_id: str) -> Parameters:
    return dict(zip(("ResourceId", "ScalableDimension", "ServiceNamespace"), physical_id.split("|"), strict=True))


def _policy(properties: Parameters) -> Parameters:
    rest = dict(properties)
    return {**_target(rest.pop("ScalingTargetId")), **rest} if "ScalingTargetId" in rest else rest


class Ingress:
    """AWS::EC2::SecurityGroupIngress from one IPv4 range, the only kind that Easel makes."""

    def __init__(self, client: Callable[[str], Any]) -> None:
        self.client = client

    def create(self, _: str, properties: Parameters, __: str) -> Made:
        source = {"CidrIp": properties["CidrIp"], "Description": properties.get("Description", "")}
        ports = {name: int(properties[name]) for name in ("FromPort", "ToPort")}
        permission = {"IpProtocol": properties["IpProtocol"], "IpRanges": [source], **ports}
        answer = self.client("ec2").authorize_security_group_ingress(
            GroupId=properties["GroupId"], IpPermissions=[permission]
        )
        rule = answer["SecurityGroupRules"][0]["SecurityGroupRuleId"]
        return rule, {"Id": rule}

    def delete(self, rule: str, properties: Parameters) -> None:
        self.client("ec2").revoke_security_group_ingress(GroupId=properties["GroupId"], SecurityGroupRuleIds=[rule])


class Firewalls:
    """AWS::WAFv2::WebACLAssociation: a web ACL before a stage of the API."""

    def __init__(self, client: Callable[[str], Any]) -> None:
        self.client = client

    def create(self, _: str, properties: Parameters, __: str) -> Made:
        arn, acl = properties["ResourceArn"], properties["WebACLArn"]
        self.client("wafv2").associate_web_acl(ResourceArn=arn, WebACLArn=acl)
        return f"{arn}|{acl}", {}

    def delete(self, _: str, properties: Parameters) -> None:
        self.client("wafv2").disassociate_web_acl(ResourceArn=properties["ResourceArn"])


class Budgets:
    """AWS::Budgets::Budget, which CloudFormation names where nobody else does."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def create(self, logical_id: str, properties: Parameters, stack: str) -> Made:
        name = provisioners._physical_name(stack, logical_id, max_len=100)
        limit = {key: str(value) for key, value in properties["Budget"]["BudgetLimit"].items()}
        budget = {**properties["Budget"], "BudgetName": name, "BudgetLimit": limit}
        told = {"NotificationsWithSubscribers": properties.get("NotificationsWithSubscribers", [])}
        call(self.service, "CreateBudget", AccountId=ACCOUNT, Budget=budget, **told)
        return name, {"Id": name}

    def delete(self, name: str, _: Parameters) -> None:
        call(self.service, "DeleteBudget", AccountId=ACCOUNT, BudgetName=name)


def in_place(put: Create, delete: Delete) -> Handler:
    def update(_: str, __: Parameters, new: Parameters, stack: str, logical_id: str) -> Made:
        return put(logical_id, new, stack)

    return Handler(put, update, delete)


def register(
    planes: Mapping[str, Service], control: SageMaker, notebooks: Notebooks, client: Callable[[str], Any]
) -> None:
    """Gives MiniStack our types; `client` makes a client of the emulated account's root."""
    sagemaker, budgets = planes["sagemaker"], Budgets(planes["budgets"])
    endpoints, scaling = Endpoints(sagemaker, control), Scaling(planes["application-autoscaling"])
    ingress, firewalls = Ingress(client), Firewalls(client)
    instances = NotebookInstances(sagemaker, notebooks.shelf)
    ours = {
        "AWS::SageMaker::Model": named(sagemaker, control.models),
        "AWS::SageMaker::EndpointConfig": named(sagemaker, control.configs),
        "AWS::SageMaker::Endpoint": Handler(endpoints.create, endpoints.update, endpoints.delete),
        "AWS::SageMaker::NotebookInstance": Handler(instances.create, instances.update, instances.delete),
        "AWS::SageMaker::NotebookInstanceLifecycleConfig": named(sagemaker, notebooks.configs),
        "AWS::ApplicationAutoScaling::ScalableTarget": in_place(scaling.put_target, scaling.delete_target),
        "AWS::ApplicationAutoScaling::ScalingPolicy": in_place(scaling.put_policy, scaling.delete_policy),
        "AWS::Budgets::Budget": replacing(budgets.create, budgets.delete),
        "AWS::EC2::SecurityGroupIngress": replacing(ingress.create, ingress.delete),
        "AWS::WAFv2::WebACLAssociation": replacing(firewalls.create, firewalls.delete),
    }
    known = provisioners._RESOURCE_HANDLERS
    for name, handler in ours.items():
        assert name not in known, f"MiniStack now has {name}: drop the stand-in"
        known[name] = {**vars(handler), "update_with_logical_id": True}
    buckets = Buckets(dict(known["AWS::S3::Bucket"]), client)
    known["AWS::S3::Bucket"].update(create=buckets.create, update=buckets.update, delete=buckets.delete)
    for name, guard in {"AWS::Logs::LogGroup": keys.for_log_group, "AWS::SNS::Topic": keys.for_topic}.items():
        known[name]["create"] = guard(known[name]["create"])
    shelves = (control.models, control.configs, control.shelf, notebooks.shelf)
    tagging._COLLECTORS["sagemaker"] = lambda: (one for shelf in shelves for one in shelf.tagged())
    _run_on_worker_threads({*ours, "AWS::S3::Bucket"})


def _run_on_worker_threads(types: set[str]) -> None:
    """Our handlers call the emulator itself, so they must not hold up its event loop."""
    usual = stacks._runs_on_worker_thread
    stacks._runs_on_worker_thread = lambda name: name in types or usual(name)
