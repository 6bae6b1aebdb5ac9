"""SageMaker's control plane: models, endpoint configurations, endpoints."""

import functools
import time
from collections.abc import Callable, Iterator, Sequence

import boto3

from .container import Container
from .fleet import MOVING, Endpoint, Fleet, Hold
from .rights import Permit, disk, interfaces
from .service import ACCOUNT, REGION, Parameters, ServiceError

HEALTH_SECONDS = 480
"""ContainerStartupHealthCheckTimeoutInSeconds where the configuration has none."""
QUEUE_SIZE = 100
"""Of the image's server where the model sets no other."""
HASTE = 60
"""So much shorter than there is the time for which a new fleet is watched."""


Count = Callable[[str, dict[str, str]], None]


class Shelf:
    """The named things of one kind, with SageMaker's words for a missing and a doubled one."""

    def __init__(self, prefix: str, path: str, noun: str) -> None:
        self.prefix, self.path, self.noun = prefix, path, noun
        self.records: dict[str, Parameters] = {}

    def arn(self, name: str) -> str:
        return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{self.path}/{name.lower()}"

    def name_of(self, arn: str) -> str:
        """ARNs are in lower case, names are not."""
        return next((name for name in self.records if self.arn(name) == arn), arn.rsplit("/", 1)[-1])

    def create(self, parameters: Parameters) -> Parameters:
        name = parameters[f"{self.prefix}Name"]
        if name in self.records:
            raise ServiceError("ValidationException", f'Cannot create already existing {self.noun} "{self.arn(name)}".')
        arn = {f"{self.prefix}Arn": self.arn(name)}
        self.records[name] = {**parameters, **arn, "CreationTime": time.time()}
        return arn

    def find(self, name: str) -> Parameters:
        if name not in self.records:
            raise ServiceError("ValidationException", f'Could not find {self.noun} "{self.arn(name)}".')
        return self.records[name]

    def describe(self, parameters: Parameters) -> Parameters:
        return {key: value for key, value in self.find(parameters[f"{self.prefix}Name"]).items() if key != "Tags"}

    def delete(self, parameters: Parameters) -> None:
        self.find(parameters[f"{self.prefix}Name"])
        del self.records[parameters[f"{self.prefix}Name"]]

    def tagged(self) -> Iterator[tuple[str, list[dict[str, str]]]]:
        """ARNs and tags, for the tagging API."""
        return ((record[f"{self.prefix}Arn"], record.get("Tags", [])) for record in list(self.records.values()))

    def summaries(self, _: Parameters) -> Parameters:
        told = (f"{self.prefix}Name", f"{self.prefix}Arn", "CreationTime")
        return {f"{self.prefix}s": [{key: record[key] for key in told} for record in self.records.values()]}


class SageMaker:
    """`act_as` gives the session of an execution role, `permit` asks for its rights; `command` is the serving program.

    `count` hears of a metric and its dimensions.
    """

    def __init__(
        self, command: Sequence[str], act_as: Callable[[str], boto3.Session], permit: Permit, hold: Hold, count: Count
    ) -> None:
        self.command, self.act_as, self.permit, self.hold, self.count = command, act_as, permit, hold, count
        self.models = Shelf("Model", "model", "model")
        self.configs = Shelf("EndpointConfig", "endpoint-config", "endpoint configuration")
        self.shelf = Shelf("Endpoint", "endpoint", "endpoint")
        self.endpoints: dict[str, Endpoint] = {}
        self.roles: dict[str, str] = {}
        self.create_model, self.describe_model = self.models.create, self.models.describe
        self.delete_model, self.list_models = self.models.delete, self.models.summaries
        self.describe_endpoint_config, self.list_endpoint_configs = self.configs.describe, self.configs.summaries
        self.delete_endpoint_config = self.configs.delete

    def list_tags(self, parameters: Parameters) -> Parameters:
        arn = parameters["ResourceArn"]
        records = (record for shelf in (self.models, self.configs, self.shelf) for record in shelf.records.items())
        return {"Tags": next(one.get("Tags", []) for name, one in records if arn.endswith(f"/{name.lower()}"))}

    def create_endpoint_config(self, parameters: Parameters) -> Parameters:
        for variant in parameters["ProductionVariants"]:
            self.models.find(variant.get("ModelName", ""))
        output = parameters.get("AsyncInferenceConfig", {}).get("OutputConfig", {})
        if output.get("NotificationConfig", {}).get("IncludeInferenceResponseIn"):
            raise ServiceError("ValidationException", "IncludeInferenceResponseIn is not in the stand-in")
        return self.configs.create(parameters)

    def create_endpoint(self, parameters: Parameters) -> Parameters:
        name, config = parameters["EndpointName"], parameters["EndpointConfigName"]
        self.configs.find(config)
        arn = self.shelf.create(parameters)
        self.endpoints[name] = Endpoint(name, functools.partial(self._bring_up, name), self.hold)
        self.endpoints[name].deploy(config)
        return arn

    def update_endpoint(self, parameters: Parameters) -> Parameters:
        name, config = parameters["EndpointName"], parameters["EndpointConfigName"]
        self.configs.find(config)
        endpoint = self._at_rest(name, "InService", "UpdateRollbackFailed")
        endpoint.deploy(config, functools.partial(self._watch, parameters.get("DeploymentConfig", {}), name))
        return {"EndpointArn": self.shelf.arn(name)}

    def update_endpoint_weights_and_capacities(self, parameters: Parameters) -> Parameters:
        name, (wanted,) = parameters["EndpointName"], parameters["DesiredWeightsAndCapacities"]
        self._at_rest(name, "InService").scale(wanted["DesiredInstanceCount"])
        return {"EndpointArn": self.shelf.arn(name)}

    def delete_endpoint(self, parameters: Parameters) -> None:
        """Without its execution role SageMaker leaves behind what it made with it: here that is refused."""
        name = parameters["EndpointName"]
        endpoint = self._at_rest(name)
        if name in self.roles:
            self.act_as(self.roles[name])

        def forget() -> None:
            self.shelf.delete(parameters)
            del self.endpoints[name]

        endpoint.delete(forget)

    def _at_rest(self, name: str, *statuses: str) -> Endpoint:
        """The endpoint, if it is not on its way to another state, and is in one of `statuses` where they are given."""
        record, endpoint = self.shelf.find(name), self.endpoints[name]
        if (status := endpoint.status) in MOVING or (statuses and status not in statuses):
            raise ServiceError("ValidationException", f'Cannot update in-progress endpoint "{record["EndpointArn"]}".')
        return endpoint

    def _watch(self, deployment: Parameters, name: str) -> None:
        """Raises as soon as an alarm rings; both fleets are there as long as this looks."""
        names = [one["AlarmName"] for one in deployment.get("AutoRollbackConfiguration", {}).get("Alarms", [])]
        traffic = deployment.get("BlueGreenUpdatePolicy", {}).get("TrafficRoutingConfiguration", {})
        end = time.monotonic() + traffic.get("WaitIntervalInSeconds", 0) / HASTE
        cloudwatch = self.act_as(self.roles[name]).client("cloudwatch") if names else None
        while cloudwatch and time.monotonic() < end:
            alarms = cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]
            if ringing := [one["AlarmName"] for one in alarms if one["StateValue"] == "ALARM"]:
                told = f"The deployment was rolled back, because of alarms in ALARM: {', '.join(ringing)}."
                raise ServiceError("ValidationException", told)
            time.sleep(0.2)

    def describe_endpoint(self, parameters: Parameters) -> Parameters:
        return self._described(parameters["EndpointName"])

    def list_endpoints(self, _: Parameters) -> Parameters:
        told = ("EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus")
        described = [self._described(name) for name in list(self.endpoints) if name in self.shelf.records]
        return {"Endpoints": [{key: one[key] for key in told} for one in described]}

    def _described(self, name: str) -> Parameters:
        record, endpoint = self.shelf.find(name), self.endpoints[name]
        config = endpoint.fleet.config if endpoint.fleet else record  # it may have been deleted meanwhile
        return {
            "EndpointName": name, "EndpointArn": record["EndpointArn"], "EndpointStatus": endpoint.status,
            "EndpointConfigName": config["EndpointConfigName"], "CreationTime": endpoint.created,
            "LastModifiedTime": endpoint.modified,
            **({"FailureReason": endpoint.failure} if endpoint.failure else {}),
            **({"ProductionVariants": [_running(endpoint.fleet)]} if endpoint.fleet else {}),
        }  # fmt: skip

    def _bring_up(self, endpoint: str, config_name: str) -> Fleet:
        config = self.configs.find(config_name)
        variant = config["ProductionVariants"][0]
        model = self.models.find(variant["ModelName"])
        self.roles[endpoint] = model["ExecutionRoleArn"]
        session = self.act_as(model["ExecutionRoleArn"])
        network = model.get("VpcConfig", {"Subnets": [], "SecurityGroupIds": []})
        needed = [*disk(config.get("KmsKeyId")), *interfaces(network["Subnets"], network["SecurityGroupIds"])]
        self.permit(model["ExecutionRoleArn"], needed)
        s3 = session.client("s3")
        seconds = variant.get("ContainerStartupHealthCheckTimeoutInSeconds", HEALTH_SECONDS)
        launch = functools.partial(Container.start, self.command, model["PrimaryContainer"], s3, seconds)
        where = {"EndpointName": endpoint, "VariantName": variant["VariantName"]}

        def failed(status: int) -> None:
            self.count("Invocation4XXErrors" if 400 <= status < 500 else "Invocation5XXErrors", where)

        queue = int(model["PrimaryContainer"].get("Environment", {}).get("MMS_JOB_QUEUE_SIZE", QUEUE_SIZE))
        return Fleet(config, s3, session.client("sns"), launch, queue, failed)


def _running(fleet: Fleet) -> Parameters:
    name = fleet.config["ProductionVariants"][0]["VariantName"]
    return {"VariantName": name, "CurrentInstanceCount": fleet.instances, "DesiredInstanceCount": fleet.instances}
