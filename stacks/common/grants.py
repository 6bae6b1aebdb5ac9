"""Statements of roles, written by hand: to the action and to the prefix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3

from stacks.common.nag_suppressions import acknowledge
from stacks.common.own_key import READ, WRITE, allow_key

_STORE = "EaselStorage:ExportsOutputFnGetAttStore1D2A845BArnE59B7AE7"
"""The bucket's ARN as the IAM5 rule writes it."""


def allow(
    role: iam.Role, actions: Sequence[str], resources: Sequence[str], conditions: Mapping[str, object] | None = None
) -> None:
    role.add_to_policy(iam.PolicyStatement(actions=actions, resources=resources, conditions=conditions))


def allow_anywhere(
    role: iam.Role, actions: Sequence[str], why: str, conditions: Mapping[str, object] | None = None
) -> None:
    """For actions that know no resource."""
    allow(role, actions, ["*"], conditions)
    acknowledge(role, {"AwsSolutions-IAM5[Resource::*]": why})


def allow_unnamed(
    role: iam.Role,
    actions: Sequence[str],
    service: str,
    kind: str,
    why: str,
    conditions: Mapping[str, object] | None = None,
) -> None:
    """For every `kind` of a service in this account and region, where nobody knows the names beforehand."""
    arn = cdk.Stack.of(role).format_arn(service=service, resource=kind, resource_name="*")
    allow(role, actions, [arn], conditions)
    acknowledge_arn(role, f"{service}:{{region}}:{{account}}:{kind}/*", why)


def acknowledge_arn(role: iam.Role, pattern: str, why: str) -> None:
    """Answers IAM5 for an ARN as the rule writes it; `pattern` is what follows the partition."""
    stack = cdk.Stack.of(role)
    region = "<AWS::Region>" if cdk.Token.is_unresolved(stack.region) else stack.region
    account = "<AWS::AccountId>" if cdk.Token.is_unresolved(stack.account) else stack.account
    rest = pattern.format(region=region, account=account)
    for partition in ("<AWS::Partition>", "aws", "aws-cn", "aws-us-gov"):
        acknowledge(role, {f"AwsSolutions-IAM5[Resource::arn:{partition}:{rest}]": why})


def allow_objects(role: iam.Role, bucket: s3.IBucket, actions: Sequence[str], *patterns: str) -> None:
    """`patterns` are keys of the store with `*` for what is not known when the stack is made."""
    allow(role, actions, [bucket.arn_for_objects(pattern) for pattern in patterns])
    if "s3:GetObject" in actions or "s3:PutObject" in actions:
        allow_key(role, bucket.encryption_key, "s3", WRITE if "s3:PutObject" in actions else READ)
    why = "The names below this prefix of our own bucket come from jobs and releases that are yet to be"
    acknowledge(role, {f"AwsSolutions-IAM5[Resource::{_STORE}/{pattern}]": why for pattern in patterns})


def allow_listing(role: iam.Role, bucket: s3.IBucket, *patterns: str) -> None:
    """Also makes S3 answer 404 instead of 403 where an object is missing: asking for an object names no prefix."""
    allow(role, ["s3:ListBucket"], [bucket.bucket_arn], {"StringLikeIfExists": {"s3:prefix": list(patterns)}})
