"""SageMaker's emulated runtime, by botocore: synchronous and asynchronous invocations."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.emulator.aws_api.service import ACCOUNT, REGION
from tests.deploy.emulator_tests.sagemaker_setup import SageMakerSetup


def test_invocation_reaches_the_container_with_its_id(setup: SageMakerSetup) -> None:
    setup.create_endpoint()
    response = setup.invoke(b"in", InferenceId="id-")
    assert response["Body"] == b"id-in"
    assert response["InvokedProductionVariant"] == "AllTraffic"


def test_unknown_endpoint(setup: SageMakerSetup) -> None:
    error = setup.invoke_error(endpoint="Nobody")
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert error["Error"]["Message"] == f"Endpoint Nobody of account {ACCOUNT} not found."


def test_containers_error_is_a_model_error(setup: SageMakerSetup) -> None:
    setup.create_endpoint(status=400)
    error = setup.invoke_error(b"bad")
    assert (error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Code"]) == (424, "ModelError")
    assert (error["OriginalStatusCode"], error["OriginalMessage"]) == (400, "bad")


def test_container_that_dies_restarts(setup: SageMakerSetup) -> None:
    setup.create_endpoint()
    assert setup.invoke_error(b"die")["OriginalStatusCode"] == 500
    assert setup.invoke()["Body"] == b"x"


def test_requests_beyond_the_queue_are_refused_at_once(setup: SageMakerSetup, tmp_path: Path) -> None:
    setup.create_endpoint(queue="1", until=str(tmp_path / "go"))
    fleet = setup.control.endpoints["Endpoint"].fleet
    assert fleet
    with ThreadPoolExecutor() as pool:
        accepted = [pool.submit(setup.invoke) for _ in range(2)]
        while fleet.queue_slots._value:
            time.sleep(0.02)
        error = setup.invoke_error()
        assert not any(future.done() for future in accepted)
        (tmp_path / "go").touch()
        assert [future.result()["Body"] for future in accepted] == [b"x", b"x"]
    assert (error["OriginalStatusCode"], setup.counted) == (503, ["Invocation5XXErrors"])
    assert setup.invoke()["Body"] == b"x"


def test_endpoint_has_one_mode(setup: SageMakerSetup) -> None:
    setup.create_endpoint(asynchronous=True)
    assert setup.invoke_error()
    setup.sagemaker.delete_endpoint(EndpointName="Endpoint")
    setup.wait_until_deleted()
    setup.create_config("Realtime")
    setup.sagemaker.create_endpoint(EndpointName="Endpoint", EndpointConfigName="Realtime")
    setup.wait_until_settled()
    location = "s3://store/jobs/1/request.json"
    assert setup.error("sagemaker-runtime", "invoke_endpoint_async", EndpointName="Endpoint", InputLocation=location)


def test_iam_checks_the_endpoints_arn(setup: SageMakerSetup) -> None:
    setup.roles.denied = "sagemaker:InvokeEndpoint"
    error = setup.invoke_error()
    assert (error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Code"]) == (403, "AccessDeniedException")
    assert error["Error"]["Message"].endswith(f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/endpoint")


def test_async_output_is_stored_and_published(setup: SageMakerSetup) -> None:
    setup.create_endpoint(asynchronous=True)
    accepted = setup.invoke_async(b"in", ContentType="application/json")
    topic, message = setup.notification()
    assert (topic, message["invocationStatus"], message["inferenceId"]) == ("SuccessTopic", "Completed", "owner-1")
    assert message["requestParameters"]["inputLocation"] == "s3://store/jobs/1/request.json"
    assert message["responseParameters"]["outputLocation"] == accepted["OutputLocation"]
    assert setup.store.objects[accepted["OutputLocation"].removeprefix("s3://store/")] == b"owner-1in"


@pytest.mark.parametrize(
    ("behaviour", "body", "reason"),
    [
        ({"status": 400}, b"bad", "client error (400)"),
        ({}, b"die", "(500)"),
        ({"until": "/nonexistent"}, b"slow", "timed out"),
    ],
)
def test_async_failure_is_stored_and_published(
    setup: SageMakerSetup, behaviour: dict[str, Any], body: bytes, reason: str
) -> None:
    setup.create_endpoint(asynchronous=True, **behaviour)
    accepted = setup.invoke_async(body, InvocationTimeoutSeconds=1 if "until" in behaviour else 60)
    topic, message = setup.notification()
    assert (topic, message["invocationStatus"], message["inferenceId"]) == ("ErrorTopic", "Failed", "owner-1")
    assert reason in message["failureReason"]
    stored = setup.store.objects[accepted["FailureLocation"].removeprefix("s3://store/")]
    assert stored.decode() == message["failureReason"]


def test_missing_async_input_is_a_failure(setup: SageMakerSetup) -> None:
    setup.create_endpoint(asynchronous=True)
    setup.invoke_async(b"x", InputLocation="s3://store/nothing.json")
    assert "NoSuchKey" in setup.notification()[1]["failureReason"]


def test_expired_async_invocation_is_dropped(setup: SageMakerSetup, tmp_path: Path) -> None:
    setup.create_endpoint(asynchronous=True, until=str(tmp_path / "go"))
    setup.invoke_async(b"first")
    setup.invoke_async(b"late", RequestTTLSeconds=60, InferenceId="owner-2")
    setup.now += 61
    (tmp_path / "go").touch()
    assert setup.notification()[1]["inferenceId"] == "owner-1"
    time.sleep(1)
    assert setup.store.published == []


@pytest.mark.parametrize("more", [{"RequestTTLSeconds": 59}, {"InvocationTimeoutSeconds": 3601}, {"Filename": "x.out"}])
def test_invalid_async_parameters(setup: SageMakerSetup, more: dict[str, Any]) -> None:
    setup.create_endpoint(asynchronous=True)
    parameters = {"EndpointName": "Endpoint", "InputLocation": "s3://store/jobs/1/request.json", **more}
    error = setup.error("sagemaker-runtime", "invoke_endpoint_async", **parameters)
    assert error["Error"]["Code"] == "ValidationError"


def test_async_invocation_waits_for_an_instance(setup: SageMakerSetup) -> None:
    setup.create_endpoint(asynchronous=True)

    def scale(count: int) -> int:
        variants = [{"VariantName": "AllTraffic", "DesiredInstanceCount": count}]
        setup.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName="Endpoint", DesiredWeightsAndCapacities=variants
        )
        return int(setup.wait_until_settled()["ProductionVariants"][0]["CurrentInstanceCount"])

    assert scale(0) == 0
    setup.invoke_async(b"in")
    time.sleep(0.3)
    assert setup.store.published == []
    assert scale(1) == 1
    assert setup.notification()[0] == "SuccessTopic"
