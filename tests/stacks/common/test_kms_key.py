"""The user's own KMS key: what it encrypts, and which roles may use it through which service."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from app import ROOT
from stacks.config.instances import has_ebs_volume
from tests.stacks.assembly import VARIANTS, Assembly
from tests.stacks.test_every_template import as_list

ENCRYPTED = [name for name, (settings, _) in VARIANTS.items() if "kms_key_arn" in settings]


@pytest.fixture(params=ENCRYPTED)
def encrypted(request: pytest.FixtureRequest, assembly: Any) -> tuple[Assembly, str]:
    """A variant with a key, and the key's ARN."""
    return assembly(request.param), VARIANTS[request.param][0]["kms_key_arn"]


def policies(assembly: Assembly) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for id, policy in assembly.resources("AWS::IAM::Policy").items():
        yield id, policy["Properties"]["PolicyDocument"]["Statement"]


def kms_statements(statements: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        statement
        for statement in statements
        if any(action.startswith("kms:") for action in as_list(statement["Action"]))
    ]


def is_via(statement: dict[str, Any], service: str) -> bool:
    return f'"{service}.' in json.dumps(statement.get("Condition", {}).get("StringLike", {}))


def test_the_bucket_has_a_bucket_key(encrypted: tuple[Assembly, str]) -> None:
    """One call of KMS then serves many objects."""
    assembly, key = encrypted
    (rule,) = assembly.only("AWS::S3::Bucket", "EaselStorage")["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule == {
        "BucketKeyEnabled": True,
        "ServerSideEncryptionByDefault": {"KMSMasterKeyID": key, "SSEAlgorithm": "aws:kms"},
    }


def test_roles_that_use_the_bucket_may_use_the_key_through_s3(encrypted: tuple[Assembly, str]) -> None:
    """Presigned URLs too: S3 uses the key in the name of the role that signed."""
    assembly, _ = encrypted
    count = 0
    for id, statements in policies(assembly):
        bucket = [statement for statement in statements if "EaselStorage" in json.dumps(statement["Resource"])]
        objects = {action for statement in bucket for action in as_list(statement["Action"])}
        objects &= {"s3:GetObject", "s3:PutObject"}
        through_s3 = [statement for statement in kms_statements(statements) if is_via(statement, "s3")]
        allowed = {action for statement in through_s3 for action in as_list(statement["Action"])}
        needed = {"kms:Decrypt"} if objects else set()
        needed |= {"kms:GenerateDataKey"} if "s3:PutObject" in objects else set()
        assert allowed == needed, id
        count += bool(objects)
    assert count >= 3


def test_roles_that_send_messages_may_use_the_key(encrypted: tuple[Assembly, str]) -> None:
    assembly, _ = encrypted
    for service, action in {"sns": "sns:Publish", "sqs": "sqs:SendMessage"}.items():
        for id, statements in policies(assembly):
            actions = {action for statement in statements for action in as_list(statement["Action"])}
            sends, receives = action in actions, "sqs:ReceiveMessage" in actions and service == "sqs"
            via = [statement for statement in kms_statements(statements) if is_via(statement, service)]
            allowed = [set(as_list(statement["Action"])) for statement in via]
            assert allowed == [{"kms:Decrypt", "kms:GenerateDataKey"}] * sends + [{"kms:Decrypt"}] * receives, id


def test_no_role_may_use_another_key_or_this_key_directly(encrypted: tuple[Assembly, str]) -> None:
    assembly, key = encrypted
    for id, statements in policies(assembly):
        for statement in kms_statements(statements):
            assert statement["Resource"] == key, id
            assert "Condition" in statement or statement["Action"] == "kms:DescribeKey", id


def test_no_key_is_created(each: Assembly) -> None:
    """A destroy could not delete it at once."""
    assert each.resources("AWS::KMS::Key") == {}


@pytest.mark.parametrize("family", ["m5", "c5", "c6i", "m7i", "p3", "inf2"])
def test_an_ebs_volume_takes_a_key(family: str) -> None:
    assert has_ebs_volume(f"ml.{family}.xlarge")


@pytest.mark.parametrize("family", ["g4dn", "g5", "g6", "g6e", "g7e", "p4d", "p5", "trn1", "m5d", "r6gd"])
def test_an_instance_store_takes_no_key(family: str) -> None:
    assert not has_ebs_volume(f"ml.{family}.xlarge")


def test_the_endpoints_role_may_grant_the_key_to_ebs_if_there_is_a_volume(own: Assembly, gov: Assembly) -> None:
    for assembly, volume in ((own, True), (gov, False)):
        assert ("kms:CreateGrant" in json.dumps(assembly.templates["EaselModel"])) is volume
        assert ("KmsKeyId" in assembly.only("AWS::SageMaker::EndpointConfig")) is volume


def test_the_page_is_encrypted_with_s3s_own_key(own: Assembly) -> None:
    """CloudFront could not use the user's key."""
    (rule,) = own.only("AWS::S3::Bucket", "EaselSite")["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}


def test_the_documented_key_policy_names_every_service_that_uses_the_key_itself(own: Assembly) -> None:
    """Services that topic and queue policies allow to send, SNS for undelivered messages, and CloudWatch Logs."""
    page = (ROOT / "docs/how-to/kms-key.md").read_text()
    documented = json.loads(re.findall(r"```json\n(.*?)```", page, re.DOTALL)[0])
    principals = [statement["Principal"].get("Service", []) for statement in documented["Statement"]]
    senders = services(own, "AWS::SNS::TopicPolicy") | services(own, "AWS::SQS::QueuePolicy")
    expected = senders | {"sns.amazonaws.com", "logs.us-east-1.amazonaws.com"}
    assert {service for names in principals for service in as_list(names)} == expected


def services(assembly: Assembly, policy_type: str) -> set[str]:
    """Return the services that policies of one type allow."""
    return {
        service
        for policy in assembly.resources(policy_type).values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
        for service in as_list(statement["Principal"]["Service"])
    }
