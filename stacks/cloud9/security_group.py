"""The security group of a Cloud9 environment, looked up during the deploy."""

from __future__ import annotations

from constructs import Construct

from stacks.common.function_backed_resource import FunctionBackedResource
from stacks.common.grants import allow_on_any_resource

_REASON = "IAM cannot limit ec2:DescribeSecurityGroups to a resource; it changes nothing"


class Cloud9SecurityGroup(FunctionBackedResource):
    """The group of an environment. `group_id` is its id."""

    def __init__(self, scope: Construct, id: str, *, environment_id: str, log_days: int) -> None:
        super().__init__(
            scope,
            id,
            type="Cloud9SecurityGroup",
            module="cloud9_security_group",
            seconds=60,
            timeout_seconds=120,
            log_days=log_days,
            properties={"EnvironmentId": environment_id},
        )
        allow_on_any_resource(self.role, ["ec2:DescribeSecurityGroups"], reason=_REASON)
        self.group_id = self.attribute("GroupId")
