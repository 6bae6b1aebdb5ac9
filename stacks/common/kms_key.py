"""The user's own KMS key. Easel creates no key: a deleted key stays, and is billed, for at least a week."""

from __future__ import annotations

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import IConstruct

READ, WRITE = ("kms:Decrypt",), ("kms:Decrypt", "kms:GenerateDataKey")
"""Writing includes Decrypt: multipart uploads and publishing to a topic need it."""


def encrypt_all(app: IConstruct, arn: str) -> None:
    """Encrypt every log group, topic and queue that exists now. Buckets get their key when they are created."""
    for node in app.node.find_all():
        if isinstance(node, logs.CfnLogGroup):
            node.kms_key_id = arn
        elif isinstance(node, sns.CfnTopic | sqs.CfnQueue):
            node.kms_master_key_id = arn


def allow_key(role: iam.Role, key: kms.IKey | None, service: str, actions: tuple[str, ...] = WRITE) -> None:
    """Let the role use `key` through `service`, and not directly. Does nothing without a key."""
    if key:
        via = {"StringLike": {"kms:ViaService": f"{service}.{Aws.REGION}.amazonaws.com*"}}  # China's ends with .cn
        role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=[key.key_arn], conditions=via))


def allow_volumes(role: iam.Role, arn: str) -> None:
    """Let SageMaker, acting as the role, grant the key to EBS for the volumes of instances. Empty `arn`: no key."""
    if arn:
        granted = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
        role.add_to_policy(iam.PolicyStatement(actions=["kms:CreateGrant"], resources=[arn], conditions=granted))
        role.add_to_policy(iam.PolicyStatement(actions=["kms:DescribeKey"], resources=[arn]))
