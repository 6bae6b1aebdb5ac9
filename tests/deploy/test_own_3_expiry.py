"""Emulator test of an account with its own KMS key, network and firewall: expiry, then destroy. Not run on AWS."""

import json
import time
from typing import Any

import pytest

from tests.deploy.conftest import KeyDeployment
from tests.deploy.emulator.services.s3_expiry import apply_rules
from tests.deploy.harness.constants import MARK, REQUEST
from tests.deploy.harness.inventory import inventory
from tests.deploy.harness.storage import is_expiring, open_bucket, releases

pytestmark = [pytest.mark.xdist_group("own_account"), pytest.mark.timeout(1800)]

UNUSED, CONFIGURED, NEWEST = ("releases/0a/", "releases/0b/", "releases/0c/")
"""Releases made by hand, in this order. An endpoint configuration names the second."""


@pytest.fixture(scope="module")
def job(own_account: KeyDeployment) -> dict[str, Any]:
    """A job that has ended."""
    return dict(own_account.api.generate_job(REQUEST))


@pytest.fixture(scope="module")
def first(own_account: KeyDeployment, job: dict[str, Any]) -> str:
    """The release that was deployed first, before three releases made by hand."""
    (prefix,) = releases(own_account)
    s3, bucket = open_bucket(own_account)
    sagemaker = own_account.account.client("sagemaker")
    for release in (UNUSED, CONFIGURED, NEWEST):
        time.sleep(1)  # S3 keeps times in seconds
        s3.put_object(Bucket=bucket, Key=f"{release}code/inference.py", Body=b"")
    (summary,) = sagemaker.list_models()["Models"]
    model = sagemaker.describe_model(ModelName=summary["ModelName"])
    container = model["PrimaryContainer"]
    container["ModelDataSource"]["S3DataSource"]["S3Uri"] = f"s3://{bucket}/{CONFIGURED}"
    role = {"ExecutionRoleArn": model["ExecutionRoleArn"]}
    sagemaker.create_model(ModelName="by-hand", PrimaryContainer=container, **role)
    variant = {"VariantName": "one", "ModelName": "by-hand", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName="by-hand", ProductionVariants=[variant])
    return prefix


@pytest.fixture(scope="module")
def second(own_account: KeyDeployment, first: str) -> str:
    """The release of other code, deployed over the first. It keeps the commit, although the hub has a new commit."""
    time.sleep(1)
    repository = own_account.hub.repository
    commit, repository.commit = repository.commit, "d" * 40
    updated = own_account.deploy("changed", "EaselModel")
    assert updated.returncode == 0, updated.stdout[-4000:] + own_account.account.log_tail()
    assert MARK in own_account.api.call("POST", "/generate", REQUEST).json["warnings"]
    (s3, bucket), release = open_bucket(own_account), releases(own_account)[-1]
    manifest = json.loads(s3.get_object(Bucket=bucket, Key=f"{release}release.json")["Body"].read())
    assert manifest["commits"] == {"org/model": commit}
    return release


def test_unused_release_expires_after_its_day(own_account: KeyDeployment, first: str, second: str) -> None:
    s3, bucket = open_bucket(own_account)
    s3.create_multipart_upload(Bucket=bucket, Key=f"{second}incomplete")
    assert apply_rules(s3, bucket, days=0.9) == (set(), set())
    assert apply_rules(s3, bucket, days=2) == ({f"{UNUSED}code/inference.py"}, {f"{second}incomplete"})
    assert releases(own_account) == [first, CONFIGURED, NEWEST, second]


def test_release_that_is_deployed_again_stays(own_account: KeyDeployment, first: str, second: str) -> None:
    """Its endpoint configuration was deleted by the update, so it gets the tag. The next deploy removes the tag."""
    run_release_expiry(own_account, second)
    every = (first, CONFIGURED, NEWEST, second)
    assert [is_expiring(own_account, release) for release in every] == [True, False, False, False]
    back = own_account.deploy("first", "EaselModel")
    assert back.returncode == 0, back.stdout[-4000:]
    assert not is_expiring(own_account, first)
    run_release_expiry(own_account, first)
    s3, bucket = open_bucket(own_account)
    assert {key for key in apply_rules(s3, bucket, days=5)[0] if key.startswith("releases/")} == set()
    assert releases(own_account) == [first, CONFIGURED, NEWEST, second]


def test_jobs_expire_and_the_endpoint_still_works(own_account: KeyDeployment, job: dict[str, Any], second: str) -> None:
    s3, bucket = open_bucket(own_account)
    expired = {key.partition("/")[0] for key in apply_rules(s3, bucket, days=9)[0]}
    assert expired == {"async-output", "imports", "jobs"}
    assert own_account.api.call("GET", job["urls"]["get"]).status == 404
    assert own_account.api.call("GET", "/jobs").json["jobs"] == []
    assert own_account.api.generate_job(REQUEST)["status"] == "succeeded"


def run_release_expiry(deployment: KeyDeployment, current: str) -> None:
    """Invoke the custom resource as CloudFormation does when another release is deployed."""
    s3, bucket = open_bucket(deployment)
    response_url = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "imports/response.json"})
    properties = {"Bucket": bucket, "Uris": [f"s3://{bucket}/{current}"]}
    event = {"RequestType": "Update", "ResourceProperties": properties, "ResponseURL": response_url, "StackId": "",
             "RequestId": "", "LogicalResourceId": ""}  # fmt: skip
    function = deployment.function("custom_resources.release_expiry.handler")
    functions = deployment.account.client("lambda")
    response = functions.invoke(FunctionName=function["FunctionName"], Payload=json.dumps(event))
    assert "FunctionError" not in response, response["Payload"].read()


def test_destroy_leaves_only_the_key(own_account: KeyDeployment, second: str) -> None:
    """The endpoint is OutOfService, a state in which it is deleted at once."""
    account = own_account.account
    sagemaker = account.client("sagemaker")
    sagemaker.delete_endpoint_config(EndpointConfigName="by-hand")
    sagemaker.delete_model(ModelName="by-hand")
    with account.hold("OutOfService"):
        destroyed = account.destroy(own_account.assemblies / "first")
    assert destroyed.returncode == 0, destroyed.stdout[-4000:] + account.log_tail()
    assert inventory(account) == own_account.baseline
    assert account.client("kms").describe_key(KeyId=own_account.key)["KeyMetadata"]["KeyState"] == "Enabled"
    scan = account.easel("leftovers")
    assert scan.returncode == 0, scan.stdout + scan.stderr
