"""A destroy that waits for the endpoint: SageMaker deletes none that is on its way to another state."""

from __future__ import annotations

import aws_cdk as cdk
from constructs import Construct

from stacks.common.function import CUSTOM_RESOURCES, Function, package_code
from stacks.common.grants import acknowledge_arn, allow
from stacks.model.endpoint import Endpoint

LIMIT_MINUTES = 60
"""The longest that CloudFormation waits."""
_WHY = "After a change of mode or instance type it waits for the endpoint before, of which the stack no longer knows"


class Settled(Construct):
    """Goes after all that changes the endpoint and before the endpoint itself; its name is what the CDK shows then."""

    def __init__(self, scope: Construct, id: str, *, endpoint: Endpoint, log_days: int) -> None:
        super().__init__(scope, id)
        waiter = Function(
            self,
            "Waiter",
            code=package_code(CUSTOM_RESOURCES),
            handler="custom_resources.wait_for_endpoint.handler",
            memory_mb=256,
            seconds=900,
            log_days=log_days,
        )
        ours = cdk.Stack.of(self).format_arn(service="sagemaker", resource="endpoint", resource_name="easel-*")
        allow(waiter.role, ["sagemaker:DescribeEndpoint"], [ours])
        acknowledge_arn(waiter.role, "sagemaker:{region}:{account}:endpoint/easel-*", _WHY)
        wait = cdk.CustomResource(
            self,
            "WaitForEndpoint",
            resource_type="Custom::EaselWaitForEndpoint",
            service_token=waiter.function.function_arn,
            service_timeout=cdk.Duration.minutes(LIMIT_MINUTES),
            properties={"Endpoint": endpoint.name},
        )
        wait.node.add_dependency(waiter.role, waiter.allow_itself())
