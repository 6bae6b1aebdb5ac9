"""A custom resource that makes a destroy wait: SageMaker refuses to delete an endpoint that is changing."""

from __future__ import annotations

from typing import get_args

import aws_cdk as cdk
from constructs import Construct

from stacks.common.function_backed_resource import FunctionBackedResource
from stacks.common.grants import allow
from stacks.common.nag_suppressions import suppress_wildcard
from stacks.config.forms import Mode
from stacks.config.names import CUSTOM_RESOURCE_MINUTES, FUNCTION_SECONDS
from stacks.model.endpoint import Endpoint

_REASON = "After a change of mode or instance type it waits for the previous endpoint, whose name the stack has lost"


class WaitForEndpoint(FunctionBackedResource):
    """Deleted after everything that changes the endpoint, and before the endpoint.

    The CDK prints its type, `Custom::EaselWaitForEndpoint`, while it waits.
    """

    def __init__(self, scope: Construct, id: str, *, endpoint: Endpoint, log_days: int) -> None:
        super().__init__(
            scope,
            id,
            type="WaitForEndpoint",
            module="wait_for_endpoint",
            seconds=FUNCTION_SECONDS,
            timeout_seconds=60 * CUSTOM_RESOURCE_MINUTES,
            log_days=log_days,
            properties={"Endpoint": endpoint.name, "Name": endpoint.settings.name},
            continues=True,
        )
        for mode in get_args(Mode):
            self._allow_describe(f"{endpoint.settings.names.endpoint_prefix(mode)}*")

    def _allow_describe(self, endpoints: str) -> None:
        arn = cdk.Stack.of(self).format_arn(service="sagemaker", resource="endpoint", resource_name=endpoints)
        allow(self.role, ["sagemaker:DescribeEndpoint"], [arn])
        suppress_wildcard(self.role, f"sagemaker:{{region}}:{{account}}:endpoint/{endpoints}", _REASON)
