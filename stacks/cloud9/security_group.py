"""The security group of a Cloud9 environment, looked up when the stack is deployed."""

from __future__ import annotations

import aws_cdk as cdk
from constructs import Construct

from stacks.common.function import CUSTOM_RESOURCES, Function, package_code
from stacks.common.grants import allow_anywhere


class Cloud9Group(Construct):
    """`id` is the group's id."""

    def __init__(self, scope: Construct, id: str, *, environment_id: str, log_days: int) -> None:
        super().__init__(scope, id)
        finder = Function(
            self,
            "Finder",
            code=package_code(CUSTOM_RESOURCES),
            handler="custom_resources.cloud9_group.handler",
            memory_mb=256,
            seconds=60,
            log_days=log_days,
        )
        why = "ec2:DescribeSecurityGroups knows no resource; it reads and changes nothing"
        allow_anywhere(finder.role, ["ec2:DescribeSecurityGroups"], why)
        group = cdk.CustomResource(
            self,
            "Group",
            resource_type="Custom::EaselCloud9Group",
            service_token=finder.function.function_arn,
            service_timeout=cdk.Duration.minutes(2),
            properties={"EnvironmentId": environment_id},
        )
        group.node.add_dependency(finder.role)
        self.id = group.get_att_string("GroupId")
