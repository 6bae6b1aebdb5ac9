"""A CloudFormation custom resource together with the function that implements it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import aws_cdk as cdk
from constructs import Construct

from stacks.common.function import CUSTOM_RESOURCES, Function, package_code


class FunctionBackedResource(Construct):
    """A resource of type `Custom::Easel<type>`, implemented by `custom_resources/<module>.py`.

    The resource depends on everything that is granted to `role`. Without a response of the function within
    `timeout_seconds`, CloudFormation fails the resource. `continues`: the function may invoke itself to run on.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        type: str,
        module: str,
        seconds: int,
        timeout_seconds: int,
        log_days: int,
        properties: Mapping[str, Any],
        memory_mb: int = 256,
        continues: bool = False,
    ) -> None:
        super().__init__(scope, id)
        handler = Function(
            self,
            "Handler",
            code=package_code(CUSTOM_RESOURCES),
            handler=f"custom_resources.{module}.handler",
            memory_mb=memory_mb,
            seconds=seconds,
            log_days=log_days,
        )
        self.role, self.function = handler.role, handler.function
        self._resource = cdk.CustomResource(
            self,
            "Resource",
            resource_type=f"Custom::Easel{type}",
            service_token=handler.function.function_arn,
            service_timeout=cdk.Duration.seconds(timeout_seconds),
            properties=dict(properties),
        )
        self._resource.node.add_dependency(self.role)
        if continues:
            self._resource.node.add_dependency(handler.allow_self_invocation())

    def set_property(self, name: str, value: object) -> None:
        """Add a property that is known only after the construct was created."""
        cast(cdk.CfnResource, self._resource.node.default_child).add_property_override(name, value)

    def attribute(self, name: str) -> str:
        """Return the attribute `name` of the function's response."""
        return self._resource.get_att_string(name)

    def after(self, *constructs: Construct) -> None:
        """Create the resource after `constructs`, and delete it before them."""
        self._resource.node.add_dependency(*constructs)
