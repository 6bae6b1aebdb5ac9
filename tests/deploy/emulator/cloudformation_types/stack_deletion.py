"""Deletion of stacks while they are created or updated, and after a failure. MiniStack 1.5.33 allows too much."""

import asyncio
from typing import Any

from ministack.services import cloudformation
from ministack.services.cloudformation import handlers, helpers, stacks

cancelled: set[str] = set()
"""Stacks to delete while they are being created. Their resources are not waited for."""


class StackDeletion:
    """Functions that run before MiniStack's own and call them."""

    def __init__(self) -> None:
        self.accept, self.create = handlers._ACTION_HANDLERS["DeleteStack"], stacks._provision_keeping_seed
        self.delete_all, self.roll_back = stacks._delete_stack_async, stacks._roll_back_operation
        self.delete = stacks._delete_resource
        self.stopped: set[str] = set()

    def install(self) -> None:
        handlers._ACTION_HANDLERS["DeleteStack"] = self.delete_stack
        handlers._delete_stack_async = self.delete_resources
        stacks._provision_keeping_seed, stacks._roll_back_operation = self.create_resource, self.roll_back_operation
        stacks._delete_resource = self.delete_resource

    def delete_stack(self, parameters: Any) -> Any:
        """Delete a stack that is being created; refuse a stack that is being updated. As CloudFormation."""
        stack = handlers._resolve_stack(handlers._p(parameters, "StackName")) or {}
        status = stack.get("StackStatus", "")
        if status == "CREATE_IN_PROGRESS":
            cancelled.add(stack["StackName"])
            stack["StackStatus"] = "DELETE_IN_PROGRESS"
        elif status.endswith("_IN_PROGRESS"):
            message = f"Stack [{stack['StackId']}] cannot be deleted while in status {status}"
            return helpers._error("ValidationError", message)
        return self.accept(parameters)

    async def delete_resources(self, name: str, *more: Any, **named: Any) -> None:
        """Delete the resources after the operation in progress has ended."""
        stack = cloudformation._stacks[name]
        while name in cancelled - self.stopped and stack["StackStatus"] == "DELETE_IN_PROGRESS":
            await asyncio.sleep(0.1)
        cancelled.discard(name)
        self.stopped.discard(name)
        await self.delete_all(name, *more, **named)

    def create_resource(self, resource_type: str, logical_id: str, properties: Any, stack: str) -> Any:
        if stack in cancelled:
            raise RuntimeError("Resource creation cancelled")
        return self.create(resource_type, logical_id, properties, stack)

    async def roll_back_operation(
        self, name: str, identity: str, stack: Any, operation: Any, *more: Any, **named: Any
    ) -> None:
        """Roll back. For a cancelled stack the deletion removes what was created, in the template's order."""
        if name in cancelled:
            stack["_template"] = operation["template"]
            self.stopped.add(name)
        else:
            await self.roll_back(name, identity, stack, operation, *more, **named)

    def delete_resource(
        self, resource_type: str, physical_id: str, properties: Any, stack: str, logical_id: str
    ) -> None:
        if dependent := failed_dependent(cloudformation._stacks[stack], logical_id):
            raise RuntimeError(f"{dependent} depends on it and could not be deleted")
        self.delete(resource_type, physical_id, properties, stack, logical_id)


def failed_dependent(stack: dict[str, Any], logical_id: str) -> str:
    """Return a dependent resource whose deletion failed, else "": CloudFormation then keeps this resource too."""
    resources, defined = stack.get("_resources", {}), stack.get("_template", {}).get("Resources", {})
    failed = [name for name, resource in resources.items() if resource.get("ResourceStatus") == "DELETE_FAILED"]
    for name in failed:
        if name != logical_id and logical_id in stacks._with_dependencies([name], defined, set(resources)):
            return str(name)
    return ""
