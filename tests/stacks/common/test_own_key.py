"""A KMS key of the user's: what it encrypts, and that whoever reads and writes may use it, and for nothing else."""

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

OWN = [name for name, (settings, _) in VARIANTS.items() if "kms_key_arn" in settings]


@pytest.fixture(params=OWN)
def encrypted(request: pytest.FixtureRequest, assembly: Any) -> tuple[Assembly, str]:
    """A variant with a key, and the key's ARN."""
    return assembly(request.param), VARIANTS[request.param][0]["kms_key_arn"]


def policies(assembly: Assembly) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for id, policy in assembly.resources("AWS::IAM::Policy").items():
        yield id, policy["Properties"]["PolicyDocument"]["Statement"]


def about_keys(statements: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for one in statements if any(action.startswith("kms:") for action in as_list(one["Action"]))]


def via(statement: dict[str, Any], service: str) -> bool:
    return f'"{service}.' in json.dumps(statement.get("Condition", {}).get("StringLike", {}))


def test_one_key_call_serves_many_objects(encrypted: tuple[Assembly, str]) -> None:
    assembly, key = encrypted
    (rule,) = assembly.only("AWS::S3::Bucket", "EaselStorage")["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule == {
        "BucketKeyEnabled": True,
        "ServerSideEncryptionByDefault": {"KMSMasterKeyID": key, "SSEAlgorithm": "aws:kms"},
    }


def test_whoever_reads_or_writes_the_store_may_use_the_key_through_s3(encrypted: tuple[Assembly, str]) -> None:
    """Presigned links too: S3 asks in the name of the role that signed."""
    assembly, _ = encrypted
    seen = 0
    for id, statements in policies(assembly):
        ours = [one for one in statements if "EaselStorage" in json.dumps(one["Resource"])]
        objects = {action for one in ours for action in as_list(one["Action"])} & {"s3:GetObject", "s3:PutObject"}
        allowed = {action for one in about_keys(statements) for action in as_list(one["Action"]) if via(one, "s3")}
        needed = {"kms:Decrypt"} if objects else set()
        needed |= {"kms:GenerateDataKey"} if "s3:PutObject" in objects else set()
        assert allowed == needed, id
        seen += bool(objects)
    assert seen >= 3


def test_whoever_publishes_or_loses_events_may_use_the_key(encrypted: tuple[Assembly, str]) -> None:
    assembly, _ = encrypted
    for service, action in {"sns": "sns:Publish", "sqs": "sqs:SendMessage"}.items():
        for id, statements in policies(assembly):
            sends = any(action in as_list(one["Action"]) for one in statements)
            allowed = [set(one["Action"]) for one in about_keys(statements) if via(one, service)]
            assert allowed == [{"kms:Decrypt", "kms:GenerateDataKey"}] * sends, id


def test_nobody_may_use_another_key_or_this_one_by_himself(encrypted: tuple[Assembly, str]) -> None:
    assembly, key = encrypted
    for id, statements in policies(assembly):
        for one in about_keys(statements):
            assert one["Resource"] == key, id
            assert "Condition" in one or one["Action"] == "kms:DescribeKey", id


def test_no_key_is_made_that_destroy_would_have_to_leave(each: Assembly) -> None:
    assert each.resources("AWS::KMS::Key") == {}


@pytest.mark.parametrize("family", ["m5", "c5", "c6i", "m7i", "p3", "inf2"])
def test_a_disk_of_ebs_takes_a_key(family: str) -> None:
    assert has_ebs_volume(f"ml.{family}.xlarge")


@pytest.mark.parametrize("family", ["g4dn", "g5", "g6", "g6e", "g7e", "p4d", "p5", "trn1", "m5d", "r6gd"])
def test_a_disk_of_its_own_does_not(family: str) -> None:
    assert not has_ebs_volume(f"ml.{family}.xlarge")


def test_the_role_may_hand_the_key_to_ebs_where_there_is_such_a_disk(own: Assembly, gov: Assembly) -> None:
    for assembly, disk in ((own, True), (gov, False)):
        assert ("kms:CreateGrant" in json.dumps(assembly.templates["EaselModel"])) is disk
        assert ("KmsKeyId" in assembly.only("AWS::SageMaker::EndpointConfig")) is disk


def test_the_page_stays_with_s3_whose_key_cloudfront_can_use(own: Assembly) -> None:
    (rule,) = own.only("AWS::S3::Bucket", "EaselSite")["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}


def test_the_documented_policy_of_the_key_names_every_service_that_asks_for_itself(own: Assembly) -> None:
    """Those that publish by a topic's policy, SNS for what it cannot deliver, and CloudWatch Logs."""
    page = (ROOT / "docs/options.md").read_text()
    told = json.loads(re.findall(r"```json\n(.*?)```", page, re.DOTALL)[0])
    named = {service for one in told["Statement"] for service in as_list(one["Principal"].get("Service", []))}
    publish = {
        service
        for policy in own.resources("AWS::SNS::TopicPolicy").values()
        for one in policy["Properties"]["PolicyDocument"]["Statement"]
        if one["Effect"] == "Allow"
        for service in as_list(one["Principal"]["Service"])
    }
    send = {
        one["Principal"]["Service"]
        for policy in own.resources("AWS::SQS::QueuePolicy").values()
        for one in policy["Properties"]["PolicyDocument"]["Statement"]
        if one["Effect"] == "Allow"
    }
    assert named == publish | send | {"sns.amazonaws.com", "logs.us-east-1.amazonaws.com"}
