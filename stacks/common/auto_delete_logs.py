"""A bucket that is emptied before it is deleted."""

from __future__ import annotations

from typing import cast

import aws_cdk as cdk
from constructs import Construct

from stacks.common.logs import Logs


def keep_log_of_emptying(stack: cdk.Stack, scope: Construct, *, log_days: int) -> None:
    """The CDK's own function, one a stack, would leave a log group behind that never expires, and by the right to make
    one, which its role has from AWS's policy, a late line would bring ours back after the stack."""
    provider = stack.node.find_child("Custom::S3AutoDeleteObjectsCustomResourceProvider")
    handler = cast(cdk.CfnResource, provider.node.find_child("Handler"))
    role = cast(cdk.CfnResource, provider.node.find_child("Role"))
    logs = Logs(scope, "EmptyingLogs", days=log_days)
    handler.add_property_override("LoggingConfig.LogGroup", logs.log_group_name)
    write = {
        "Effect": "Allow",
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": logs.log_group_arn,
    }
    document = {"Version": "2012-10-17", "Statement": [write]}
    role.add_property_override("Policies", [{"PolicyName": "Logs", "PolicyDocument": document}])
    role.add_property_deletion_override("ManagedPolicyArns")
