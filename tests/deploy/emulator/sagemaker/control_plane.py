"""SageMaker's control plane: models, endpoint configurations, endpoints."""

import functools
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import boto3

from ..aws_api.role_permissions import CheckPermissions, for_disk, for_network
from ..aws_api.service import Parameters, ServiceError
from .container import Container
from .container_log import ContainerLog
from .endpoint import IN_PROGRESS, Endpoint, StateHold
from .fleet import Fleet
from .records import RecordTable

HEALTH_SECONDS = 480
"""Default of ContainerStartupHealthCheckTimeoutInSeconds."""
QUEUE_SIZE = 100
"""Default queue size of the image's server."""
TIME_SCALE = 60
"""A new fleet is watched for this fraction of the configured time."""

CountMetric = Callable[[str, dict[str, str]], None]
"""Adds one to a metric with these dimensions."""


class SageMaker:
    """Models, endpoint configurations and endpoints.

    `command` is the serving program, `assume_role` returns the session of an execution role, `check_permissions`
    checks what the role may do, `count_metric` counts a failed invocation.
    """

    def __init__(
        self,
        command: Sequence[str],
        assume_role: Callable[[str], boto3.Session],
        check_permissions: CheckPermissions,
        hold: StateHold,
        count_metric: CountMetric,
    ) -> None:
        self.command, self.assume_role, self.check_permissions = command, assume_role, check_permissions
        self.hold, self.count_metric = hold, count_metric
        self.models = RecordTable("Model", "model", "model")
        self.configs = RecordTable("EndpointConfig", "endpoint-config", "endpoint configuration")
        self.endpoint_records = RecordTable("Endpoint", "endpoint", "endpoint")
        self.endpoints: dict[str, Endpoint] = {}
        self.roles: dict[str, str] = {}
        self.create_model, self.describe_model = self.models.create, self.models.describe
        self.delete_model, self.list_models = self.models.delete, self.models.summaries
        self.describe_endpoint_config, self.list_endpoint_configs = self.configs.describe, self.configs.summaries
        self.delete_endpoint_config = self.configs.delete

    def list_tags(self, parameters: Parameters) -> Parameters:
        arn = parameters["ResourceArn"]
        tables = (self.models, self.configs, self.endpoint_records)
        records = (item for table in tables for item in table.records.items())
        return {"Tags": next(record.get("Tags", []) for name, record in records if arn.endswith(f"/{name.lower()}"))}

    def create_endpoint_config(self, parameters: Parameters) -> Parameters:
        for variant in parameters["ProductionVariants"]:
            self.models.find(variant.get("ModelName", ""))
        output = parameters.get("AsyncInferenceConfig", {}).get("OutputConfig", {})
        if output.get("NotificationConfig", {}).get("IncludeInferenceResponseIn"):
            raise ServiceError("ValidationException", "IncludeInferenceResponseIn is not emulated")
        return self.configs.create(parameters)

    def create_endpoint(self, parameters: Parameters) -> Parameters:
        name, config = parameters["EndpointName"], parameters["EndpointConfigName"]
        self.configs.find(config)
        arn = self.endpoint_records.create(parameters)
        self.endpoints[name] = Endpoint(name, functools.partial(self._start_fleet, name), self.hold)
        self.endpoints[name].deploy(config)
        return arn

    def update_endpoint(self, parameters: Parameters) -> Parameters:
        name, config = parameters["EndpointName"], parameters["EndpointConfigName"]
        self.configs.find(config)
        endpoint = self._find_settled(name, "InService", "UpdateRollbackFailed")
        endpoint.deploy(config, functools.partial(self._watch_alarms, parameters.get("DeploymentConfig", {}), name))
        return {"EndpointArn": self.endpoint_records.arn(name)}

    def update_endpoint_weights_and_capacities(self, parameters: Parameters) -> Parameters:
        name, (variant,) = parameters["EndpointName"], parameters["DesiredWeightsAndCapacities"]
        self._find_settled(name, "InService").scale(variant["DesiredInstanceCount"])
        return {"EndpointArn": self.endpoint_records.arn(name)}

    def delete_endpoint(self, parameters: Parameters) -> None:
        """Delete an endpoint. Refused without its execution role: SageMaker would leave its network interfaces."""
        name = parameters["EndpointName"]
        endpoint = self._find_settled(name)
        if name in self.roles:
            self.assume_role(self.roles[name])

        def forget() -> None:
            self.endpoint_records.delete(parameters)
            del self.endpoints[name]

        endpoint.delete(forget)

    def _find_settled(self, name: str, *statuses: str) -> Endpoint:
        """Return an endpoint in one of `statuses`; without `statuses`, in any that is not in progress.

        Raises ServiceError.
        """
        record, endpoint = self.endpoint_records.find(name), self.endpoints[name]
        if (status := endpoint.status) in IN_PROGRESS or (statuses and status not in statuses):
            raise ServiceError("ValidationException", f'Cannot update in-progress endpoint "{record["EndpointArn"]}".')
        return endpoint

    def _watch_alarms(self, deployment: Parameters, name: str) -> None:
        """Watch the rollback alarms while both fleets exist. Raises ServiceError as soon as one is in ALARM."""
        names = [alarm["AlarmName"] for alarm in deployment.get("AutoRollbackConfiguration", {}).get("Alarms", [])]
        traffic = deployment.get("BlueGreenUpdatePolicy", {}).get("TrafficRoutingConfiguration", {})
        end = time.monotonic() + traffic.get("WaitIntervalInSeconds", 0) / TIME_SCALE
        cloudwatch = self.assume_role(self.roles[name]).client("cloudwatch") if names else None
        while cloudwatch and time.monotonic() < end:
            alarms = cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]
            if active := [alarm["AlarmName"] for alarm in alarms if alarm["StateValue"] == "ALARM"]:
                message = f"The deployment was rolled back, because of alarms in ALARM: {', '.join(active)}."
                raise ServiceError("ValidationException", message)
            time.sleep(0.2)

    def describe_endpoint(self, parameters: Parameters) -> Parameters:
        return self._describe(parameters["EndpointName"])

    def list_endpoints(self, parameters: Parameters) -> Parameters:
        keys = ("EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus")
        names = [record["EndpointName"] for record in self.endpoint_records.matching(parameters)]
        described = []
        for name in names:
            with suppress(ServiceError, KeyError):  # it has just been deleted
                described.append(self._describe(name))
        return {"Endpoints": [{key: endpoint[key] for key in keys} for endpoint in described]}

    def _describe(self, name: str) -> Parameters:
        record, endpoint = self.endpoint_records.find(name), self.endpoints[name]
        config = endpoint.fleet.config if endpoint.fleet else record  # the configuration may be deleted already
        return {
            "EndpointName": name, "EndpointArn": record["EndpointArn"], "EndpointStatus": endpoint.status,
            "EndpointConfigName": config["EndpointConfigName"], "CreationTime": endpoint.created,
            "LastModifiedTime": endpoint.modified,
            **({"FailureReason": endpoint.failure} if endpoint.failure else {}),
            **({"ProductionVariants": [_variant(endpoint.fleet)]} if endpoint.fleet else {}),
        }  # fmt: skip

    def _start_fleet(self, endpoint: str, config_name: str) -> Fleet:
        config = self.configs.find(config_name)
        variant = config["ProductionVariants"][0]
        model = self.models.find(variant["ModelName"])
        self.roles[endpoint] = model["ExecutionRoleArn"]
        session = self.assume_role(model["ExecutionRoleArn"])
        network = model.get("VpcConfig", {"Subnets": [], "SecurityGroupIds": []})
        permissions = [*for_disk(config.get("KmsKeyId")), *for_network(network["Subnets"], network["SecurityGroupIds"])]
        self.check_permissions(model["ExecutionRoleArn"], permissions)
        s3 = session.client("s3")
        seconds = variant.get("ContainerStartupHealthCheckTimeoutInSeconds", HEALTH_SECONDS)
        open_log = functools.partial(ContainerLog, session.client("logs"), endpoint, variant["VariantName"])
        start = functools.partial(Container.start, self.command, model["PrimaryContainer"], s3, open_log, seconds)
        dimensions = {"EndpointName": endpoint, "VariantName": variant["VariantName"]}

        def count_failure(status: int) -> None:
            metric = "Invocation4XXErrors" if 400 <= status < 500 else "Invocation5XXErrors"
            self.count_metric(metric, dimensions)

        queue_size = int(model["PrimaryContainer"].get("Environment", {}).get("MMS_JOB_QUEUE_SIZE", QUEUE_SIZE))
        return Fleet(config, s3, session.client("sns"), start, queue_size, count_failure)


def _variant(fleet: Fleet) -> Parameters:
    name = fleet.config["ProductionVariants"][0]["VariantName"]
    return {"VariantName": name, "CurrentInstanceCount": fleet.instances, "DesiredInstanceCount": fleet.instances}
