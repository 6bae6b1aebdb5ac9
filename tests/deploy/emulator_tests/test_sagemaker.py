"""SageMaker's emulated control plane, by botocore: responses and errors are those that it documents."""

import time
from typing import Any

import pytest

from tests.deploy.emulator.aws_api.service import ACCOUNT, REGION, Service, ServiceError
from tests.deploy.emulator.sagemaker.control_plane import TIME_SCALE
from tests.deploy.emulator_tests.sagemaker_setup import SageMakerSetup
from tests.deploy.emulator_tests.server import ROLE


def test_unknown_operation(setup: SageMakerSetup) -> None:
    assert setup.error("sagemaker", "list_apps")["Error"]["Code"] == "UnknownOperationException"
    assert setup.error("application-autoscaling", "describe_scaling_activities", ServiceNamespace="sagemaker")


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ({"InstanceType": "ml.nothing.large"}, "enum value set"),
        ({"VariantName": "a_b"}, "regular expression"),
        ({"InitialInstanceCount": "one"}, "Invalid type"),
        ({"ContainerStartupHealthCheckTimeoutInSeconds": 3601}, "less than or equal to 3600"),
        ({"ContainerStartupHealthCheckTimeoutInSeconds": 59}, "valid min value: 60"),
        ({"ModelName": "Nobody"}, "Could not find model"),
    ],
)
def test_invalid_configuration(setup: SageMakerSetup, variant: dict[str, Any], message: str) -> None:
    setup.create_model()
    variants = [{"VariantName": "AllTraffic", "ModelName": "Model", "InitialInstanceCount": 1, **variant}]
    error = setup.error("sagemaker", "create_endpoint_config", EndpointConfigName="c", ProductionVariants=variants)
    assert message in error["Error"]["Message"]


def test_unknown_parameter(setup: SageMakerSetup) -> None:
    with pytest.raises(ServiceError, match="Color") as caught:
        Service("sagemaker", setup.control).call("CreateModel", {"ModelName": "m", "Color": "red"})
    assert caught.value.code == "ValidationException"


def test_variable_has_at_most_1024_characters(setup: SageMakerSetup) -> None:
    setup.create_model(FITS="x" * 1024)
    container = {"Image": "image", "Environment": {"LONG": "x" * 1025}}
    error = setup.error("sagemaker", "create_model", ModelName="m", PrimaryContainer=container)
    assert "1024" in error["Error"]["Message"]


def test_names_are_unique(setup: SageMakerSetup) -> None:
    setup.create_model()
    error = setup.error("sagemaker", "create_model", ModelName="Model")
    assert f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model/model" in error["Error"]["Message"]
    setup.sagemaker.delete_model(ModelName="Model")
    assert setup.error("sagemaker", "delete_model", ModelName="Model")["Error"]["Code"] == "ValidationException"
    assert setup.sagemaker.list_models()["Models"] == []


def test_lists_are_by_the_requested_part_of_a_name(setup: SageMakerSetup) -> None:
    setup.create_endpoint()
    for operation, kind in {"list_endpoints": "Endpoints", "list_models": "Models"}.items():
        listing = getattr(setup.sagemaker, operation)
        assert [len(listing(NameContains=part)[kind]) for part in ("end" if kind == "Endpoints" else "MOD", "x")] == [
            1,
            0,
        ]
    assert "not emulated" in setup.error("sagemaker", "list_models", MaxResults=1)["Error"]["Message"]


def test_iam_checks_every_resource_that_a_request_names(setup: SageMakerSetup) -> None:
    setup.create_endpoint()
    checked = {arn for action, arn in setup.roles.authorized if action == "sagemaker:CreateEndpoint"}
    assert checked == {"endpoint/endpoint", "endpoint-config/config"}


def test_container_that_exits_fails_the_endpoint(setup: SageMakerSetup) -> None:
    endpoint = setup.create_endpoint(exit=True)
    assert endpoint["EndpointStatus"] == "Failed"
    assert "did not pass the ping health check" in endpoint["FailureReason"]
    assert setup.store.logged == {"/aws/sagemaker/Endpoints/Endpoint": ["cannot start"]}


def test_disk_with_a_key_needs_the_roles_permission(setup: SageMakerSetup) -> None:
    setup.create_model()
    setup.roles.denied = "kms:CreateGrant"
    setup.create_config(KmsKeyId=f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1")
    setup.sagemaker.create_endpoint(EndpointName="Endpoint", EndpointConfigName="Config")
    endpoint = setup.wait_until_settled()
    assert (endpoint["EndpointStatus"], endpoint["FailureReason"]) == ("Failed", f"{ROLE} may not kms:CreateGrant")


def test_failed_update_keeps_the_old_fleet(setup: SageMakerSetup) -> None:
    setup.create_endpoint()
    setup.create_config("Second")
    setup.set_behaviour(exit=True)
    setup.sagemaker.update_endpoint(EndpointName="Endpoint", EndpointConfigName="Second")
    endpoint = setup.wait_until_settled()
    assert (endpoint["EndpointStatus"], endpoint["EndpointConfigName"]) == ("InService", "Config")
    assert endpoint["FailureReason"]
    assert setup.invoke()["Body"] == b"x"


@pytest.mark.parametrize("status", ["Updating", "SystemUpdating", "RollingBack"])
def test_changing_endpoint_is_neither_updated_nor_deleted(setup: SageMakerSetup, status: str) -> None:
    setup.create_endpoint()
    counts = {"DesiredWeightsAndCapacities": [{"VariantName": "AllTraffic", "DesiredInstanceCount": 2}]}
    operations: dict[str, dict[str, Any]] = {
        "delete_endpoint": {}, "update_endpoint": {"EndpointConfigName": "Config"},
        "update_endpoint_weights_and_capacities": counts,
    }  # fmt: skip
    with setup.hold(status):
        if status == "Updating":
            setup.sagemaker.update_endpoint_weights_and_capacities(EndpointName="Endpoint", **counts)
        assert setup.status == status
        for operation, parameters in operations.items():
            error = setup.error("sagemaker", operation, EndpointName="Endpoint", **parameters)
            assert "in-progress" in error["Error"]["Message"]
    assert setup.wait_until_settled()["EndpointStatus"] == "InService"
    setup.sagemaker.delete_endpoint(EndpointName="Endpoint")
    setup.wait_until_deleted()


def test_endpoint_is_not_deleted_while_it_is_created(setup: SageMakerSetup) -> None:
    name = {"EndpointName": "Endpoint"}
    with setup.hold("Creating"):
        setup.set_behaviour(exit=True)
        setup.create_model()
        setup.create_config()
        setup.sagemaker.create_endpoint(**name, EndpointConfigName="Config")
        assert "in-progress" in setup.error("sagemaker", "delete_endpoint", **name)["Error"]["Message"]
    assert setup.wait_until_settled()["EndpointStatus"] == "Failed"
    assert setup.error("sagemaker", "update_endpoint", **name, EndpointConfigName="Config")
    with setup.hold("Deleting"):
        setup.sagemaker.delete_endpoint(**name)
        assert setup.status == "Deleting"
        assert setup.error("sagemaker", "create_endpoint", **name, EndpointConfigName="Config")
    setup.wait_until_deleted()


@pytest.mark.parametrize("status", ["UpdateRollbackFailed", "OutOfService"])
def test_endpoint_that_cannot_serve_is_deleted(setup: SageMakerSetup, status: str) -> None:
    setup.create_endpoint()
    with setup.hold(status):
        assert setup.status == status
        setup.sagemaker.delete_endpoint(EndpointName="Endpoint")
    setup.wait_until_deleted()


def test_deletion_needs_the_execution_role(setup: SageMakerSetup) -> None:
    setup.create_endpoint()
    setup.roles.existing.clear()
    error = setup.error("sagemaker", "delete_endpoint", EndpointName="Endpoint")
    assert "assume role" in error["Error"]["Message"]


def watched(seconds: int) -> dict[str, Any]:
    """Return the configuration of an update that two alarms watch for `seconds` of the emulator."""
    traffic = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": seconds * TIME_SCALE}
    return {
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "Refusing"}, {"AlarmName": "Crashing"}]},
        "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": traffic},
    }


@pytest.mark.parametrize("own_alarm", [True, False])
def test_alarm_rolls_a_watched_update_back(setup: SageMakerSetup, own_alarm: bool) -> None:
    setup.create_endpoint()
    setup.create_config("Second")
    setup.set_behaviour(status=400)
    update = watched(60 if own_alarm else 3)
    setup.sagemaker.update_endpoint(EndpointName="Endpoint", EndpointConfigName="Second", DeploymentConfig=update)
    while setup.sagemaker.describe_endpoint(EndpointName="Endpoint")["EndpointConfigName"] != "Second":
        time.sleep(0.05)
    assert setup.status == "Updating"
    setup.invoke_error()
    assert setup.counted == ["Invocation4XXErrors"]
    setup.store.active_alarms = {"Crashing"} if own_alarm else {"another"}
    endpoint = setup.wait_until_settled()
    assert endpoint["EndpointConfigName"] == ("Config" if own_alarm else "Second")
    assert ("Crashing" in endpoint.get("FailureReason", "")) is own_alarm
