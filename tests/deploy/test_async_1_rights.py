"""Emulator test: what the policies of `easel policies` keep the person who deploys from. Not run on AWS."""

import json
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.deploy.emulator.aws_api.service import ACCOUNT, REGION
from tests.deploy.harness.account import Account
from tests.deploy.harness.constants import BOUNDARY
from tests.deploy.harness.deployment import Deployment, wait_until

pytestmark = [pytest.mark.xdist_group("async_account"), pytest.mark.timeout(1800)]

ROLE = {
    "AssumeRolePolicyDocument": {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": ACCOUNT}}],
    },
    "Policies": [
        {
            "PolicyName": "Everything",
            "PolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
            },
        }
    ],
}
"""A role with which somebody could do everything."""
LIMITED = {**ROLE, "PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/{BOUNDARY}"}
EXECUTION_ROLE = f"arn:aws:iam::{ACCOUNT}:role/cdk-hnb659fds-cfn-exec-role-{ACCOUNT}-{REGION}"
OWN = "EaselModel-2"
"""Name of a stack whose resources begin with the name of a stack of Easel."""


@pytest.fixture
def account(async_account: Deployment) -> Iterator[Account]:
    account = async_account.account
    yield account
    cloudformation = account.client("cloudformation")
    for name in account.stack_statuses().keys() & {OWN, "Payroll"}:
        cloudformation.delete_stack(StackName=name)
        wait_until(lambda name=name: name not in account.stack_statuses())  # type: ignore[misc]


def create(account: Account, stack: str, kind: str, properties: dict[str, Any]) -> str:
    """Create a stack with one resource as CloudFormation's role, and return the reasons of what failed."""
    template = json.dumps({"Resources": {"Thing": {"Type": kind, "Properties": properties}}})
    cloudformation = account.client("cloudformation")
    cloudformation.create_stack(
        StackName=stack, TemplateBody=template, RoleARN=EXECUTION_ROLE, Capabilities=["CAPABILITY_IAM"]
    )
    end = time.monotonic() + 180
    while account.stack_statuses()[stack].endswith("_IN_PROGRESS") and time.monotonic() < end:
        time.sleep(0.1)
    events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    return " ".join(event.get("ResourceStatusReason", "") for event in events if "FAILED" in event["ResourceStatus"])


@pytest.mark.parametrize(
    ("stack", "kind", "properties", "denied"),
    [
        (OWN, "AWS::IAM::Role", ROLE, "iam"),
        ("Payroll", "AWS::IAM::Role", LIMITED, "iam"),
        ("Payroll", "AWS::S3::Bucket", {}, "s3"),
        ("Payroll", "AWS::SNS::Topic", {}, "sns"),
        (OWN, "AWS::DynamoDB::Table", {"TableName": "x", "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
                                       "AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}],
                                       "BillingMode": "PAY_PER_REQUEST"}, "dynamodb"),
    ],
)  # fmt: skip
def test_cloudformation_creates_only_what_belongs_to_easel(
    account: Account, stack: str, kind: str, properties: dict[str, Any], denied: str
) -> None:
    assert f"not authorized to perform: {denied}:" in create(account, stack, kind, properties)


def test_the_boundary_limits_a_role_that_allows_everything(account: Account) -> None:
    assert create(account, OWN, "AWS::IAM::Role", LIMITED) == ""
    roles = [role["Arn"] for role in account.client("iam").list_roles()["Roles"]]
    (role,) = [role for role in roles if f"role/{OWN}-" in role]
    keys = account.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    session = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], REGION)
    iam: Any = session.client("iam", endpoint_url=account.url, verify=str(account.certificate))
    with pytest.raises(ClientError, match="AccessDenied"):
        iam.create_user(UserName="somebody")


def test_the_deployer_cannot_act_as_an_administrator(account: Account) -> None:
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    session = boto3.Session(*(account.variables[name] for name in names), region_name=REGION)
    iam, sts, s3 = (
        session.client(name, endpoint_url=account.url, verify=str(account.certificate)) for name in ("iam", "sts", "s3")
    )
    with pytest.raises(ClientError, match="AccessDenied"):
        iam.create_user(UserName="somebody")
    with pytest.raises(ClientError, match="AccessDenied"):
        sts.assume_role(RoleArn=EXECUTION_ROLE, RoleSessionName="test")
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.create_bucket(Bucket="mine")
