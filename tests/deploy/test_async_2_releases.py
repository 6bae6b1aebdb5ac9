"""Emulator test, mode async: other code, a model from the hub, bad releases, a deleted model stack. Not run on AWS.

Each fixture is a deploy onto the state that the fixture before left.
"""

import json

import pytest

from tests.deploy.conftest import decode_images
from tests.deploy.harness.constants import MARK, MODEL, OTHER_MODEL, REQUEST
from tests.deploy.harness.deployment import Completed, Deployment, join_lines, wait_until
from tests.deploy.harness.observation import assert_problem, assert_traceable
from tests.deploy.harness.storage import hub_manifests, is_expiring, releases

pytestmark = [pytest.mark.xdist_group("async_account"), pytest.mark.timeout(1800)]

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def address(async_account: Deployment) -> str:
    """The API's address after the first deploy."""
    return async_account.account.outputs()["ApiUrl"]


@pytest.fixture(scope="module")
def updated(async_account: Deployment, address: str) -> Completed:
    """A deploy of other code."""
    return async_account.deploy("changed")


def test_second_deploy_serves_the_new_code(
    async_account: Deployment, updated: Completed, expected_images: list[list[bytes]]
) -> None:
    assert updated.returncode == 0, updated.stdout[-4000:]
    response = async_account.api.call("POST", "/generate", REQUEST)
    assert MARK in response.json["warnings"]
    assert decode_images(response.json) == expected_images[0]


@pytest.fixture(scope="module")
def damaged(async_account: Deployment, updated: Completed) -> Completed:
    """A deploy of the hub's model while the hub sends a damaged file."""
    assert updated.returncode == 0
    async_account.hub.repository.damaged.add(WEIGHTS)
    result = async_account.deploy("imported", "EaselModel")
    async_account.hub.repository.damaged.clear()
    return result


def test_damaged_file_fails_the_deploy(async_account: Deployment, damaged: Completed) -> None:
    assert damaged.returncode != 0
    assert f"{WEIGHTS} has the sha256" in join_lines(damaged.stdout), damaged.stdout[-4000:]
    assert async_account.account.stack_statuses()["EaselModel"] == "UPDATE_ROLLBACK_COMPLETE"
    assert MARK in async_account.api.call("POST", "/generate", REQUEST).json["warnings"]


@pytest.fixture(scope="module")
def imported(async_account: Deployment, damaged: Completed) -> Completed:
    """A deploy of the hub's model, although one connection breaks off."""
    assert damaged.returncode != 0
    async_account.hub.repository.dropped_connections[WEIGHTS] = 1
    return async_account.deploy("imported")


def test_model_from_the_hub_is_served_at_the_same_address(
    async_account: Deployment, imported: Completed, expected_images: list[list[bytes]], address: str
) -> None:
    assert imported.returncode == 0, imported.stdout[-4000:] + async_account.account.log_tail()
    assert async_account.account.outputs()["ApiUrl"] == address
    api, repository = async_account.api, async_account.hub.repository
    assert [model["id"] for model in api.call("GET", "/models").json["models"]] == [OTHER_MODEL]
    images = decode_images(api.call("POST", "/generate", REQUEST).json)
    assert images == expected_images[1] != expected_images[0]
    assert repository.dropped_connections[WEIGHTS] == 0
    (manifest,) = hub_manifests(async_account)
    assert manifest["commits"] == {"org/model": repository.commit}


@pytest.mark.parametrize(("model", "code"), [(MODEL, "model_replaced"), (OTHER_MODEL, None)])
def test_a_call_that_waited_for_the_model_before_is_refused(
    async_account: Deployment, imported: Completed, model: str, code: str | None
) -> None:
    """As SageMaker delivers it after the deploy: with the attributes that the API sent before."""
    assert imported.returncode == 0
    account, key = async_account.account, f"jobs/queued-{model}/request.json"
    outputs, s3 = account.outputs(), account.client("s3")
    s3.put_object(Bucket=outputs["BucketName"], Key=key, Body=json.dumps(REQUEST).encode())
    called = account.client("sagemaker-runtime").invoke_endpoint_async(
        EndpointName=outputs["EndpointName"], ContentType="application/json", CustomAttributes=f"model={model}",
        InputLocation=f"s3://{outputs['BucketName']}/{key}",
    )  # fmt: skip
    output = called["OutputLocation"].removeprefix(f"s3://{outputs['BucketName']}/")
    wait_until(lambda: s3.list_objects_v2(Bucket=outputs["BucketName"], Prefix=output)["KeyCount"], 600)
    response = json.loads(s3.get_object(Bucket=outputs["BucketName"], Key=output)["Body"].read())
    assert response.get("error", {}).get("code") == code


def test_only_the_unused_release_expires(async_account: Deployment, imported: Completed) -> None:
    """The newest releases stay: CloudFormation may have to roll back to one. test_own_3_expiry.py applies the rule."""
    assert imported.returncode == 0
    assert [is_expiring(async_account, release) for release in releases(async_account)] == [True, False, False]


@pytest.fixture(scope="module")
def rolled_back(async_account: Deployment, imported: Completed) -> Completed:
    """A deploy of code that exits. Its model is released already, so it needs no hub."""
    assert imported.returncode == 0
    async_account.hub.repository.removed = True
    return async_account.deploy("broken")


def test_failed_deploy_rolls_back(async_account: Deployment, rolled_back: Completed) -> None:
    assert rolled_back.returncode != 0
    assert "did not pass the ping health check" in join_lines(rolled_back.stdout)
    assert async_account.account.stack_statuses()["EaselModel"] == "UPDATE_ROLLBACK_COMPLETE"
    assert MARK in async_account.api.call("POST", "/generate", REQUEST).json["warnings"]


def test_doctor_shows_the_rollback_and_its_reason(async_account: Deployment, rolled_back: Completed) -> None:
    checks = async_account.doctor()
    assert checks["stacks"]["status"] == "failed"
    for part in ("EaselModel", "UPDATE_ROLLBACK_COMPLETE", "ping health check"):
        assert part in checks["stacks"]["message"]
    assert checks["endpoint"]["status"] == "ok", checks["endpoint"]


def test_leftovers_lists_the_running_endpoint(async_account: Deployment, rolled_back: Completed) -> None:
    result = async_account.account.easel("leftovers", "--json")
    scan = json.loads(result.stdout)
    assert (result.returncode, scan["errors"]) == (1, [])
    (endpoint,) = (leftover for leftover in scan["leftovers"] if leftover["type"] == "AWS::SageMaker::Endpoint")
    assert endpoint["usd_per_month"] > 0


def test_release_of_other_code_has_the_same_model_files(async_account: Deployment, rolled_back: Completed) -> None:
    first, second = hub_manifests(async_account)
    assert first["files"] == second["files"]
    assert first["code"] != second["code"]


@pytest.fixture(scope="module")
def deployed_again(async_account: Deployment, rolled_back: Completed) -> Completed:
    """EaselModel deleted in the console, to stop its cost, and a deploy of what was deployed before."""
    assert rolled_back.returncode != 0
    account = async_account.account
    account.client("cloudformation").delete_stack(StackName="EaselModel")
    wait_until(lambda: "EaselModel" not in account.stack_statuses())
    assert_problem(async_account.api.call("POST", "/jobs", REQUEST), 503, "endpoint_missing")
    return async_account.deploy("imported")


def test_api_is_unchanged_and_works_after_the_model_stack_was_deleted_and_deployed_again(
    async_account: Deployment, deployed_again: Completed, expected_images: list[list[bytes]], address: str
) -> None:
    assert deployed_again.returncode == 0, deployed_again.stdout[-4000:]
    assert "EaselApi (no changes)" in deployed_again.stdout
    assert async_account.account.outputs()["ApiUrl"] == address
    job = async_account.api.generate_job(REQUEST)
    assert [async_account.api.follow(image["url"]).body for image in job["images"]] == expected_images[1]
    assert_traceable(async_account, "handlers.finalizer")
    assert async_account.doctor()["endpoint"]["status"] == "ok"


@pytest.fixture(scope="module")
def several(async_account: Deployment, deployed_again: Completed) -> Completed:
    """A deploy of the same model and a second."""
    assert deployed_again.returncode == 0
    return async_account.deploy("several", "EaselModel", "EaselApi")


def endpoints(deployment: Deployment) -> dict[str, str]:
    """Return endpoint to the time of its last change."""
    found = deployment.account.client("sagemaker").list_endpoints()["Endpoints"]
    return {endpoint["EndpointName"]: str(endpoint["LastModifiedTime"]) for endpoint in found}


def test_each_of_two_models_generates_on_its_own_endpoint(
    async_account: Deployment, several: Completed, expected_images: list[list[bytes]]
) -> None:
    assert several.returncode == 0, several.stdout[-4000:] + async_account.account.log_tail()
    assert len(endpoints(async_account)) == 2
    for model, images in ((OTHER_MODEL, expected_images[1]), (MODEL, expected_images[0])):
        job = async_account.api.generate_job({**REQUEST, "model": model})
        assert job["model"] == model
        assert [async_account.api.follow(image["url"]).body for image in job["images"]] == images


def test_a_model_sleeps_while_the_other_is_awake(async_account: Deployment, several: Completed) -> None:
    assert several.returncode == 0
    (name,) = (name for name in endpoints(async_account) if name.endswith(f"-{MODEL}"))
    variant = {"VariantName": "AllTraffic", "DesiredInstanceCount": 0}
    async_account.account.client("sagemaker").update_endpoint_weights_and_capacities(
        EndpointName=name, DesiredWeightsAndCapacities=[variant]
    )

    def states() -> dict[str, str]:
        models = async_account.api.call("GET", "/models").json["models"]
        return {model["id"]: model["state"]["status"] for model in models}

    wait_until(lambda: states() == {OTHER_MODEL: "ready", MODEL: "asleep"})
    assert async_account.doctor()["endpoint"]["status"] == "ok"


@pytest.fixture(scope="module")
def removed(async_account: Deployment, several: Completed) -> tuple[dict[str, str], Completed]:
    """A deploy without the second model; and the endpoints before."""
    assert several.returncode == 0
    return endpoints(async_account), async_account.deploy("imported", "EaselModel", "EaselApi")


def test_a_removed_model_takes_its_endpoint_along_and_touches_no_other(
    async_account: Deployment, removed: tuple[dict[str, str], Completed]
) -> None:
    before, result = removed
    assert result.returncode == 0, result.stdout[-4000:]
    left = endpoints(async_account)
    assert left == {name: time for name, time in before.items() if not name.endswith(f"-{MODEL}")}
    assert [model["id"] for model in async_account.api.call("GET", "/models").json["models"]] == [OTHER_MODEL]
    problem = async_account.api.call("POST", "/jobs", {**REQUEST, "model": MODEL})
    assert_problem(problem, 400, "unknown_value")
