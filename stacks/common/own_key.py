"""A KMS key of the user's. Easel makes none: one that is deleted stays, and costs, for a week at least."""

from __future__ import annotations

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import IConstruct

READ, WRITE = ("kms:Decrypt",), ("kms:Decrypt", "kms:GenerateDataKey")
"""Who writes must read, too: to put the parts of an upload together, and to publish."""


def encrypt_all(app: IConstruct, arn: str) -> None:
    """Every log group, topic and queue that there is so far. Buckets have theirs already."""
    for node in app.node.find_all():
        if isinstance(node, logs.CfnLogGroup):
            node.kms_key_id = arn
        elif isinstance(node, sns.CfnTopic | sqs.CfnQueue):
            node.kms_master_key_id = arn


def allow_key(role: iam.Role, key: kms.IKey | None, service: str, actions: tuple[str, ...] = WRITE) -> None:
    """Lets the role use the key where `service` asks for it on its behalf, and not by itself."""
    if key:
        via = {"StringLike": {"kms:ViaService": f"{service}.{Aws.REGION}.amazonaws.com*"}}  # China's ends with .cn
        role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=[key.key_arn], conditions=via))


def allow_volumes(role: iam.Role, arn: str) -> None:
    """Lets SageMaker, in the role's name, hand the key to EBS for the disks of instances. Empty: there is no key."""
    if arn:
        granted = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
        role.add_to_policy(iam.PolicyStatement(actions=["kms:CreateGrant"], resources=[arn], conditions=granted))
        role.add_to_policy(iam.PolicyStatement(actions=["kms:DescribeKey"], resources=[arn]))
