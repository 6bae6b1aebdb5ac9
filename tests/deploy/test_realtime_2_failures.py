"""Emulator test, mode realtime: a missing permission, a destroy during an update, a full bucket. Not run on AWS."""

import json
import re
import time

import pytest

from tests.deploy.conftest import decode_images
from tests.deploy.emulator.aws_api.service import ACCOUNT
from tests.deploy.harness.constants import MARK, REQUEST
from tests.deploy.harness.deployment import Completed, Deployment, join_lines, wait_until
from tests.deploy.harness.observation import assert_destroy_waits, assert_problem

pytestmark = [pytest.mark.xdist_group("realtime_account"), pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def forbidden(realtime_account: Deployment) -> Completed:
    """A deploy in which the API's roles may not call the endpoint."""
    return realtime_account.deploy("forbidden")


def test_missing_permission_is_reported_without_internals(realtime_account: Deployment, forbidden: Completed) -> None:
    assert forbidden.returncode == 0, forbidden.stdout[-4000:]
    response = realtime_account.api.call("POST", "/generate", REQUEST)
    assert_problem(response, 500, "config_error")
    internals = rf"{ACCOUNT}|arn:|EaselApi|EaselModel|easel-realtime|sagemaker"
    assert not re.search(internals, response.body.decode(), re.I)


def test_doctor_finds_another_running_configuration(realtime_account: Deployment, forbidden: Completed) -> None:
    """As after an update that SageMaker took back silently. Here an update by hand."""
    assert forbidden.returncode == 0
    sagemaker, endpoint = realtime_account.account.client("sagemaker"), realtime_account.endpoint()
    config = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    sagemaker.create_endpoint_config(EndpointConfigName="by-hand", ProductionVariants=config["ProductionVariants"])
    sagemaker.update_endpoint(EndpointName=endpoint["EndpointName"], EndpointConfigName="by-hand")
    wait_until(lambda: realtime_account.endpoint_status() == "InService")
    check = realtime_account.doctor()["endpoint"]
    assert check["status"] == "failed"
    for name in ("by-hand", endpoint["EndpointConfigName"]):
        assert name in check["message"]
    sagemaker.delete_endpoint_config(EndpointConfigName="by-hand")


@pytest.fixture(scope="module")
def interrupted_update(realtime_account: Deployment, forbidden: Completed) -> tuple[Completed, Completed]:
    """A destroy during a watched update to a release that exits, and the result of the update."""
    assert forbidden.returncode == 0
    account = realtime_account.account
    with account.hold("Updating"):
        deploying = account.start_deploy(realtime_account.assemblies / "exiting", "EaselModel")
        wait_until(lambda: realtime_account.endpoint_status() == "Updating" or not deploying.running)
        destroyed = account.destroy(realtime_account.assemblies / "first")
    return destroyed, deploying.wait()


def test_stack_in_update_is_not_destroyed(interrupted_update: tuple[Completed, Completed]) -> None:
    """The API and the bucket stay: nothing is destroyed after a stack that could not be."""
    destroyed, _ = interrupted_update
    assert destroyed.returncode != 0
    assert "cannot be deleted while in status UPDATE_IN_PROGRESS" in join_lines(destroyed.stdout)
    assert "EaselStorage: destroyed" not in destroyed.stdout


def test_watched_update_that_does_not_start_rolls_back(
    realtime_account: Deployment, interrupted_update: tuple[Completed, Completed], expected_images: list[list[bytes]]
) -> None:
    _, deployed = interrupted_update
    assert deployed.returncode != 0
    assert "did not pass the ping health check" in join_lines(deployed.stdout)
    assert realtime_account.account.stack_statuses()["EaselModel"] == "UPDATE_ROLLBACK_COMPLETE"
    response = realtime_account.account.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=realtime_account.endpoint()["EndpointName"], ContentType="application/json",
        Body=json.dumps(REQUEST),
    )  # fmt: skip
    result = json.loads(response["Body"].read())
    assert MARK in result["warnings"]
    assert decode_images(result) == expected_images[0]


def run_idle_guard(deployment: Deployment, hours: float = 0.0001) -> str:
    """Invoke the idle guard with a limit that has passed, and return what it did."""
    functions = deployment.account.client("lambda")
    function = deployment.function("custom_resources.idle_guard.handler")
    variables = {**function["Environment"]["Variables"], "EASEL_IDLE_HOURS": str(hours)}
    functions.update_function_configuration(FunctionName=function["FunctionName"], Environment={"Variables": variables})
    time.sleep(hours * 3600)
    return str(json.loads(functions.invoke(FunctionName=function["FunctionName"])["Payload"].read()))


def test_destroy_with_a_deleted_endpoint_and_a_full_bucket(
    realtime_account: Deployment, interrupted_update: tuple[Completed, Completed]
) -> None:
    """An endpoint that the idle guard deleted does not fail the destroy; a bucket that still has objects does."""
    account = realtime_account.account
    with account.hold("Deleting"):
        assert run_idle_guard(realtime_account) == "deleted"
        command = account.start_destroy(realtime_account.assemblies / "first")
        assert_destroy_waits(realtime_account, command, "Deleting")
    destroyed = command.wait()
    assert destroyed.returncode != 0
    assert "The bucket you tried to delete is not empty" in join_lines(destroyed.stdout)
    assert account.stack_statuses() == {"CDKToolkit": "CREATE_COMPLETE", "EaselStorage": "DELETE_FAILED"}
