"""A bucket that is emptied before it is deleted."""

from __future__ import annotations

from typing import cast

import aws_cdk as cdk
from constructs import Construct

from stacks.parts.logs import Logs


def keep_log_of_emptying(stack: cdk.Stack, scope: Construct, *, log_days: int) -> None:
    """The CDK's own function, one a stack, would leave a log group behind that never expires."""
    provider = stack.node.find_child("Custom::S3AutoDeleteObjectsCustomResourceProvider")
    handler = cast(cdk.CfnResource, provider.node.find_child("Handler"))
    handler.add_property_override("LoggingConfig.LogGroup", Logs(scope, "EmptyingLogs", days=log_days).log_group_name)
