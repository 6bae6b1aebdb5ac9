"""Emulator test, mode async: scale to zero, destroy in each state of an endpoint, failed first deploy. Not run on AWS.

Each fixture continues from the state that the fixture before left.
"""

import contextlib

import pytest

from tests.deploy.harness.deployment import Completed, Deployment, join_lines, wait_until
from tests.deploy.harness.inventory import inventory
from tests.deploy.harness.observation import assert_destroy_waits
from tests.deploy.harness.storage import keys, open_bucket

pytestmark = [pytest.mark.xdist_group("async_account"), pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def asleep(async_account: Deployment) -> None:
    """No instances, as autoscaling sets when nobody calls."""
    async_account.scale(0)
    wait_until(lambda: async_account.endpoint_status() == "InService")


@pytest.mark.usefixtures("asleep")
def test_endpoint_without_instances_is_asleep(async_account: Deployment) -> None:
    assert async_account.endpoint()["ProductionVariants"][0]["CurrentInstanceCount"] == 0
    # the API caches the state for 5 s
    wait_until(lambda: async_account.api.call("GET", "/health").json["endpoint"]["status"] == "asleep")


@pytest.fixture(scope="module")
def destroyed(async_account: Deployment, asleep: None) -> Completed:
    """A destroy while the endpoint wakes up, rolls back and is maintained."""
    account = async_account.account
    with contextlib.ExitStack() as later:
        with account.hold("Updating"):
            async_account.scale(1)
            command = account.start_destroy(async_account.assemblies / "changed")
            assert_destroy_waits(async_account, command, "Updating")
            later.enter_context(account.hold("RollingBack"))
        assert_destroy_waits(async_account, command, "RollingBack")
        later.enter_context(account.hold("SystemUpdating"))
        assert_destroy_waits(async_account, command, "SystemUpdating")
        scaling = account.client("application-autoscaling")
        assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []
    return command.wait()


def test_destroy_waits_for_a_changing_endpoint_and_leaves_nothing(
    async_account: Deployment, destroyed: Completed
) -> None:
    account = async_account.account
    assert destroyed.returncode == 0, destroyed.stdout[-4000:] + account.log_tail()
    assert "Custom::EaselWaitForEndpoint" in destroyed.stdout
    assert account.stack_statuses() == {"CDKToolkit": "CREATE_COMPLETE"}
    assert inventory(account) == async_account.baseline
    scan = account.easel("leftovers")
    assert scan.returncode == 0, scan.stdout + scan.stderr


@pytest.fixture(scope="module")
def interrupted(async_account: Deployment, destroyed: Completed) -> Completed:
    """Ctrl-C while the endpoint of a release that exits is Creating, then a destroy at once; removal=retain."""
    assert destroyed.returncode == 0
    account, assembly = async_account.account, async_account.assemblies / "exiting"
    with account.hold("Creating"):
        command = account.start_deploy(assembly, "EaselModel")
        wait_until(lambda: async_account.endpoint_status() == "Creating" or not command.running)
        command.interrupt()
        return account.destroy(assembly)


def test_destroy_fails_while_the_endpoint_is_being_created(async_account: Deployment, interrupted: Completed) -> None:
    """SageMaker refuses. Whether CloudFormation retries is not known; the emulator does not. The role stays."""
    assert interrupted.returncode != 0
    assert "Cannot update in-progress endpoint" in join_lines(interrupted.stdout)
    assert async_account.account.stack_statuses()["EaselModel"] == "DELETE_FAILED"
    sagemaker, iam = async_account.account.client("sagemaker"), async_account.account.client("iam")
    (model,) = sagemaker.list_models()["Models"]
    role = sagemaker.describe_model(ModelName=model["ModelName"])["ExecutionRoleArn"].rpartition("/")[2]
    assert iam.list_role_policies(RoleName=role)["PolicyNames"] != []
    stacks = async_account.doctor()["stacks"]
    assert "EaselModel" in stacks["message"]
    assert "DELETE_FAILED" in stacks["message"]
    for state in ("InService", "Failed"):  # the states to wait for
        assert state in stacks["remedy"]


@pytest.fixture(scope="module")
def destroyed_again(async_account: Deployment, interrupted: Completed) -> Completed:
    """Another destroy, after the endpoint has failed."""
    assert interrupted.returncode != 0
    wait_until(lambda: async_account.endpoint_status() == "Failed")
    return async_account.account.destroy(async_account.assemblies / "exiting")


def test_second_destroy_deletes_the_failed_endpoint_and_retains_what_callers_stored(
    async_account: Deployment, destroyed_again: Completed
) -> None:
    assert destroyed_again.returncode == 0, destroyed_again.stdout[-4000:]
    assert async_account.account.stack_statuses() == {"CDKToolkit": "CREATE_COMPLETE"}
    _, bucket = open_bucket(async_account)
    left = inventory(async_account.account) - async_account.baseline
    assert {name for name in left if not name.startswith("dynamodb: EaselStorage-Accounts")} == {f"s3: {bucket}"}
    assert keys(async_account, "releases/") != set()


@pytest.fixture(scope="module")
def failed_first(async_account: Deployment, destroyed_again: Completed) -> Completed:
    """A first deploy of a release that exits, which CloudFormation rolls back with the endpoint's log group."""
    assert destroyed_again.returncode == 0
    return async_account.deploy("exiting", "EaselModel")


def test_log_of_a_first_deploy_that_failed_outlives_its_rollback(
    async_account: Deployment, failed_first: Completed
) -> None:
    assert failed_first.returncode != 0
    account = async_account.account
    assert account.stack_statuses()["EaselModel"] == "ROLLBACK_COMPLETE"
    groups = account.client("logs").describe_log_groups(logGroupNamePrefix="/aws/sagemaker/Endpoints/")["logGroups"]
    assert groups == []
    reason = next(line for line in failed_first.stdout.splitlines() if "NotStartedError" in line)
    assert "EndpointStart" in reason
    assert "this release cannot start" in join_lines(failed_first.stdout)
    bucket = account.outputs()["BucketName"]
    (kept,) = account.client("s3").list_objects_v2(Bucket=bucket, Prefix="failed-starts/")["Contents"]
    stacks = async_account.doctor()["stacks"]
    assert f"s3://{bucket}/{kept['Key']}" in stacks["message"]
    assert "this release cannot start" in "\n".join(stacks["log_lines"])


def test_destroy_after_a_failed_first_deploy_leaves_what_is_retained(
    async_account: Deployment, failed_first: Completed
) -> None:
    destroyed = async_account.account.destroy(async_account.assemblies / "exiting")
    assert destroyed.returncode == 0, destroyed.stdout[-4000:]
    left = inventory(async_account.account) - async_account.baseline
    assert {name.partition(":")[0] for name in left} == {"dynamodb", "s3"}
    types = {leftover["type"] for leftover in async_account.leftovers()["leftovers"]}
    assert types == {"AWS::DynamoDB::Table", "AWS::S3::Bucket"}
