"""Emulator test of an account with its own KMS key, network and firewall: what the key encrypts, who may use it.

Not run on AWS.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from model_importer.stream import PIECE
from tests.deploy.conftest import KeyDeployment, decode_images, documented_key_policy
from tests.deploy.emulator.aws_api.service import ACCOUNT, REGION
from tests.deploy.harness.constants import REQUEST
from tests.deploy.harness.deployment import wait_until
from tests.deploy.harness.storage import keys, open_bucket
from tests.model_files import safetensors
from tests.model_importer.example import LARGE, SOURCE, TAKEN, write_files
from tests.model_importer.hub import HubServer, Repository

pytestmark = [pytest.mark.xdist_group("own_account"), pytest.mark.timeout(1800)]

READ, WRITE = "kms:Decrypt", "kms:GenerateDataKey"


@pytest.fixture(scope="module")
def job(own_account: KeyDeployment) -> dict[str, Any]:
    """A job that has ended."""
    return dict(own_account.api.generate_job(REQUEST))


def test_imported_model_generates_in_an_encrypted_bucket(own_account: KeyDeployment, job: dict[str, Any]) -> None:
    assert job["status"] == "succeeded", job
    images = decode_images(own_account.api.call("POST", "/generate", REQUEST).json)
    assert [own_account.api.follow(image["url"]).body for image in job["images"]] == images


@pytest.mark.usefixtures("job")
def test_key_encrypts_every_object(own_account: KeyDeployment) -> None:
    s3, bucket = open_bucket(own_account)
    every = keys(own_account, "")
    assert {key.partition("/")[0] for key in every} >= {"async-output", "imports", "jobs", "releases", "sources"}
    assert {s3.head_object(Bucket=bucket, Key=key).get("SSEKMSKeyId") for key in every} == {own_account.key}


def test_key_encrypts_log_groups_topics_queues_and_disks(own_account: KeyDeployment) -> None:
    logs, sns, sqs, sagemaker = (own_account.account.client(name) for name in ("logs", "sns", "sqs", "sagemaker"))
    groups = logs.describe_log_groups()["logGroups"]
    assert {group.get("kmsKeyId") for group in groups if "Easel" in group["logGroupName"]} == {own_account.key}
    topics = [sns.get_topic_attributes(TopicArn=topic["TopicArn"])["Attributes"]
              for topic in sns.list_topics()["Topics"]]  # fmt: skip
    queues = [sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
              for url in sqs.list_queues()["QueueUrls"]]  # fmt: skip
    assert {attributes.get("KmsMasterKeyId") for attributes in (*topics, *queues)} == {own_account.key}
    config = sagemaker.describe_endpoint_config(EndpointConfigName=own_account.endpoint()["EndpointConfigName"])
    assert config["KmsKeyId"] == config["AsyncInferenceConfig"]["OutputConfig"]["KmsKeyId"] == own_account.key


def test_link_needs_the_signers_permission_to_the_key(own_account: KeyDeployment, job: dict[str, Any]) -> None:
    """The API's role signs links, and S3 checks this role."""
    iam, link = own_account.account.client("iam"), job["images"][0]["url"]
    signer = own_account.function("handlers.api")["Role"].rpartition("/")[2]
    name, policy = key_policy_of_role(iam, signer)
    statements = [statement for statement in policy["Statement"] if "kms:" not in json.dumps(statement["Action"])]
    without_key = json.dumps({**policy, "Statement": statements})
    iam.put_role_policy(RoleName=signer, PolicyName=name, PolicyDocument=without_key)
    denied = own_account.api.follow(link)
    iam.put_role_policy(RoleName=signer, PolicyName=name, PolicyDocument=json.dumps(policy))
    assert (denied.status, b"kms:Decrypt" in denied.body) == (403, True)
    assert own_account.api.follow(link).status == 200


def key_policy_of_role(iam: Any, role: str) -> tuple[str, dict[str, Any]]:
    """Return the name and document of a role's only policy with permissions to a key."""
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    policies = {name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names}
    (name,) = (name for name, policy in policies.items() if "kms:" in json.dumps(policy))
    return name, policies[name]


Clients = Callable[..., list[Any]]
"""Returns clients of S3 and SNS that may do `actions` with the key through the service `via`."""


@pytest.fixture
def limited_clients(own_account: KeyDeployment) -> Iterator[Clients]:
    """Clients of a role that may do everything in S3 and SNS, and with the key what the test sets."""
    account, iam = own_account.account, own_account.account.client("iam")
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
    arn = iam.create_role(RoleName="limited", AssumeRolePolicyDocument=policy_document(trust))["Role"]["Arn"]
    credentials = account.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
    session = boto3.Session(
        credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"], REGION
    )
    clients = [
        session.client(name, endpoint_url=account.url, verify=str(account.certificate)) for name in ("s3", "sns")
    ]
    services = {"Effect": "Allow", "Action": ["s3:*", "sns:*"], "Resource": "*"}

    def allow(*actions: str, via: str = "s3") -> list[Any]:
        condition = {"StringLike": {"kms:ViaService": f"{via}.{REGION}.amazonaws.com*"}}
        key = {"Effect": "Allow", "Action": list(actions), "Resource": own_account.key, "Condition": condition}
        document = policy_document(services, *([key] if actions else []))
        iam.put_role_policy(RoleName="limited", PolicyName="all", PolicyDocument=document)
        return clients

    yield allow
    iam.delete_role_policy(RoleName="limited", PolicyName="all")
    iam.delete_role(RoleName="limited")


def policy_document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        ((), {"head"}),
        ((READ,), {"head", "get", "upload_part"}),
        ((WRITE,), {"head", "put", "create_upload"}),
        ((READ, WRITE), {"head", "get", "put", "copy", "create_upload", "upload_part"}),
    ],
)
def test_s3_request_needs_its_permission_to_the_key(
    own_account: KeyDeployment, limited_clients: Clients, actions: tuple[str, ...], expected: set[str]
) -> None:
    root, bucket = open_bucket(own_account)
    existing, new = {"Bucket": bucket, "Key": "imports/existing"}, {"Bucket": bucket, "Key": "imports/new"}
    root.put_object(**existing, Body=b"x")
    upload = {**new, "UploadId": root.create_multipart_upload(**new)["UploadId"]}
    s3, _ = limited_clients(*actions)
    requests: dict[str, Callable[[], Any]] = {
        "head": lambda: s3.head_object(**existing), "get": lambda: s3.get_object(**existing),
        "put": lambda: s3.put_object(**new, Body=b"x"), "copy": lambda: s3.copy_object(**new, CopySource=existing),
        "create_upload": lambda: root.abort_multipart_upload(
            **new, UploadId=s3.create_multipart_upload(**new)["UploadId"]
        ),
        "upload_part": lambda: s3.upload_part(**upload, PartNumber=1, Body=b"x"),
    }  # fmt: skip
    assert {name for name, request in requests.items() if is_allowed(request)} == expected
    root.abort_multipart_upload(**upload)


@pytest.mark.parametrize(("via", "expected"), [("s3", False), ("sns", True)])
def test_permission_to_the_key_is_limited_to_one_service(
    own_account: KeyDeployment, limited_clients: Clients, via: str, expected: bool
) -> None:
    """A topic of Easel would not do: a message to the budget's stops the endpoint."""
    root = own_account.account.client("sns")
    topic = root.create_topic(Name="limited", Attributes={"KmsMasterKeyId": own_account.key})["TopicArn"]
    _, sns = limited_clients(READ, WRITE, via=via)
    allowed = is_allowed(lambda: sns.publish(TopicArn=topic, Message="x"))
    root.delete_topic(TopicArn=topic)
    assert allowed is expected


def is_allowed(request: Callable[[], Any]) -> bool:
    try:
        request()
    except ClientError as error:
        assert error.response["Error"]["Code"] in ("AccessDenied", "AuthorizationError"), error
        return False
    return True


def test_log_group_needs_the_documented_statement(own_account: KeyDeployment) -> None:
    account, key = own_account.account, own_account.key
    kms, cloudformation = account.client("kms"), account.client("cloudformation")
    policy = documented_key_policy()
    statements = [statement for statement in policy["Statement"] if statement["Sid"] != "LogGroups"]
    group = {"Type": "AWS::Logs::LogGroup", "Properties": {"KmsKeyId": key}}
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps({**policy, "Statement": statements}))
    template = json.dumps({"Resources": {"Group": group}})
    cloudformation.create_stack(StackName="Group", TemplateBody=template, OnFailure="DO_NOTHING")
    wait_until(lambda: account.stack_statuses()["Group"] != "CREATE_IN_PROGRESS")
    events = cloudformation.describe_stack_events(StackName="Group")["StackEvents"]
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))
    cloudformation.delete_stack(StackName="Group")
    assert any("not allowed to be used" in event.get("ResourceStatusReason", "") for event in events)


def test_interrupted_import_resumes_in_an_encrypted_bucket(own_account: KeyDeployment, tmp_path: Path) -> None:
    content = safetensors(os.urandom(PIECE * 2))
    repository = Repository(write_files(tmp_path, {**TAKEN, LARGE: content}))
    s3, bucket = open_bucket(own_account)
    with HubServer(repository) as hub:
        repository.stall_from = PIECE
        build = start_import(own_account, bucket, hub)
        wait_until(lambda: any(uploaded_parts(s3, bucket)))
        repository.expired, repository.removed, repository.stall_from = 1_000, True, None
        assert wait_for_build(own_account, build) == "FAILED"
        assert len(list(uploaded_parts(s3, bucket))) == 1
        repository.expired, repository.removed = 0, False
        hub.sent.clear()
        status = wait_for_build(own_account, start_import(own_account, bucket, hub))
        assert status == "SUCCEEDED", own_account.account.log_tail()
    assert hub.sent[LARGE] == len(content) - PIECE
    state = json.loads(s3.get_object(Bucket=bucket, Key="imports/by-hand.json")["Body"].read())
    weights = s3.get_object(Bucket=bucket, Key=f"{state['prefix']}{LARGE}")
    assert (weights["SSEKMSKeyId"], weights["Body"].read() == content) == (own_account.key, True)
    for key in keys(own_account, state["prefix"]):
        s3.delete_object(Bucket=bucket, Key=key)


def start_import(deployment: KeyDeployment, bucket: str, hub: HubServer) -> str:
    """Start a build of the import project for another model, as the project's function does. Return its id."""
    codebuild = deployment.account.client("codebuild")
    (project,) = codebuild.list_projects()["projects"]
    request = {"bucket": bucket, "state": "imports/by-hand.json", "code": "c0de", "hub_url": hub.url, "source": SOURCE}
    variable = {"name": "EASEL_IMPORT", "value": json.dumps(request)}
    return str(codebuild.start_build(projectName=project, environmentVariablesOverride=[variable])["build"]["id"])


def wait_for_build(deployment: KeyDeployment, build: str) -> str:
    codebuild = deployment.account.client("codebuild")

    def status() -> str:
        return str(codebuild.batch_get_builds(ids=[build])["builds"][0]["buildStatus"])

    wait_until(lambda: status() != "IN_PROGRESS")
    return status()


def uploaded_parts(s3: Any, bucket: str) -> Iterator[dict[str, Any]]:
    """Yield the parts of all incomplete uploads."""
    for upload in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
        yield from s3.list_parts(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]).get("Parts", [])
