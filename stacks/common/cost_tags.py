"""Tags on every resource, for Cost Explorer and `easel leftovers`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeGuard

import aws_cdk as cdk
from aws_cdk import aws_budgets as budgets
from constructs import IConstruct

UNTYPED = {"AWS::IAM::Role", "AWS::Lambda::Function"}
"""Types that the CDK also creates without a typed class. `cdk.Tags` skips those resources."""


def tag_all(app: cdk.App, tags: Mapping[str, str]) -> None:
    """Tag every resource that exists now. Call it after all stacks are created."""
    for key, value in tags.items():
        cdk.Tags.of(app).add(key, value)
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    for node in app.node.find_all():
        if isinstance(node, budgets.CfnBudget):
            node.resource_tags = [budgets.CfnBudget.ResourceTagProperty(key=k, value=v) for k, v in tags.items()]
        elif _is_untyped(node):
            node.add_property_override("Tags", listed)


def _is_untyped(node: IConstruct) -> TypeGuard[cdk.CfnResource]:
    if not isinstance(node, cdk.CfnResource) or cdk.TagManager.is_taggable(node):
        return False
    return node.cfn_resource_type in UNTYPED
