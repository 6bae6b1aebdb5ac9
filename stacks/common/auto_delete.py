"""The CDK's function that empties a bucket before the bucket is deleted."""

from __future__ import annotations

from typing import cast

import aws_cdk as cdk
from constructs import Construct

from stacks.common.logs import Logs


def configure_auto_delete(stack: cdk.Stack, scope: Construct, *, log_days: int) -> None:
    """Give the function a log group with retention, and a role that can create no other.

    The CDK makes one such function a stack. By default its log group never expires, and AWS's managed policy lets a
    late log line create that group again after a destroy.
    """
    provider = stack.node.find_child("Custom::S3AutoDeleteObjectsCustomResourceProvider")
    handler = cast(cdk.CfnResource, provider.node.find_child("Handler"))
    role = cast(cdk.CfnResource, provider.node.find_child("Role"))
    logs = Logs(scope, "AutoDeleteLogs", days=log_days)
    handler.add_property_override("LoggingConfig.LogGroup", logs.log_group_name)
    write = {
        "Effect": "Allow",
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": logs.log_group_arn,
    }
    document = {"Version": "2012-10-17", "Statement": [write]}
    role.add_property_override("Policies", [{"PolicyName": "Logs", "PolicyDocument": document}])
    role.add_property_deletion_override("ManagedPolicyArns")
