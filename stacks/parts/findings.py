"""Answers to what the AwsSolutions rules find."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from constructs import IConstruct

ANY_RESOURCE = "AwsSolutions-IAM5[Resource::*]"


def acknowledge(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Says of each finding why it stays, at the construct that it is about and all below."""
    for rule, reason in reasons.items():
        cdk.Validations.of(construct).acknowledge(cdk.Acknowledgment(id=rule, reason=reason))


def acknowledge_prefixes(construct: IConstruct, *prefixes: str) -> None:
    """Says why a role may reach all objects below `prefixes` of the store, each with its closing slash."""
    store = "EaselStorage:ExportsOutputFnGetAttStore1D2A845BArnE59B7AE7"  # its ARN, as the rule writes it
    reason = "Objects below one prefix of our own bucket: their names come from jobs and releases yet to be"
    acknowledge(construct, {f"AwsSolutions-IAM5[Resource::{store}/{prefix}*]": reason for prefix in prefixes})
