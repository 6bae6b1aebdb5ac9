"""Suppressions of cdk-nag findings, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import IConstruct


def suppress(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Suppress the rules in `reasons` (rule to reason) at `construct` and everything below it."""
    for rule, reason in reasons.items():
        cdk.Validations.of(construct).acknowledge(cdk.Acknowledgment(id=rule, reason=reason))


def suppress_wildcard(role: iam.Role, pattern: str, reason: str) -> None:
    """Suppress IAM5 for one ARN with a wildcard.

    `pattern` is what follows the partition; `{region}` and `{account}` in it are replaced by those of the stack.
    """
    stack = cdk.Stack.of(role)
    region = "<AWS::Region>" if cdk.Token.is_unresolved(stack.region) else stack.region
    account = "<AWS::AccountId>" if cdk.Token.is_unresolved(stack.account) else stack.account
    rest = pattern.format(region=region, account=account)
    for partition in ("<AWS::Partition>", "aws", "aws-cn", "aws-us-gov"):
        suppress(role, {f"AwsSolutions-IAM5[Resource::arn:{partition}:{rest}]": reason})
