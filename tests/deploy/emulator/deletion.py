"""What MiniStack 1.5.33 lets through when a stack is deleted: while it is made or changed, and after a failure."""

import asyncio
from typing import Any

from ministack.services import cloudformation
from ministack.services.cloudformation import handlers, helpers, stacks

cancelled: set[str] = set()
"""Stacks that are to be deleted while they are made. What is being made for them is not waited for."""


class Deletions:
    """Stands before MiniStack's own functions, which it calls."""

    def __init__(self) -> None:
        self.accept, self.make = handlers._ACTION_HANDLERS["DeleteStack"], stacks._provision_keeping_seed
        self.empty, self.roll_back = stacks._delete_stack_async, stacks._roll_back_operation
        self.drop = stacks._delete_resource
        self.stopped: set[str] = set()

    def take_over(self) -> None:
        handlers._ACTION_HANDLERS["DeleteStack"] = self.delete_stack
        handlers._delete_stack_async = self.empty_stack
        stacks._provision_keeping_seed, stacks._roll_back_operation = self.make_resource, self.undo
        stacks._delete_resource = self.delete_resource

    def delete_stack(self, parameters: Any) -> Any:
        """CloudFormation deletes a stack that is being made, and none that is being changed."""
        stack = handlers._resolve_stack(handlers._p(parameters, "StackName")) or {}
        status = stack.get("StackStatus", "")
        if status == "CREATE_IN_PROGRESS":
            cancelled.add(stack["StackName"])
            stack["StackStatus"] = "DELETE_IN_PROGRESS"
        elif status.endswith("_IN_PROGRESS"):
            told = f"Stack [{stack['StackId']}] cannot be deleted while in status {status}"
            return helpers._error("ValidationError", told)
        return self.accept(parameters)

    async def empty_stack(self, name: str, *more: Any, **named: Any) -> None:
        """First what is under way ends."""
        stack = cloudformation._stacks[name]
        while name in cancelled - self.stopped and stack["StackStatus"] == "DELETE_IN_PROGRESS":
            await asyncio.sleep(0.1)
        cancelled.discard(name)
        self.stopped.discard(name)
        await self.empty(name, *more, **named)

    def make_resource(self, kind: str, logical_id: str, properties: Any, stack: str) -> Any:
        if stack in cancelled:
            raise RuntimeError("Resource creation cancelled")
        return self.make(kind, logical_id, properties, stack)

    async def undo(self, name: str, identity: str, stack: Any, operation: Any, *more: Any, **named: Any) -> None:
        """Of a cancelled stack the deletion sees to what was made, in the order that the template says."""
        if name in cancelled:
            stack["_template"] = operation["template"]
            self.stopped.add(name)
        else:
            await self.roll_back(name, identity, stack, operation, *more, **named)

    def delete_resource(self, kind: str, physical_id: str, properties: Any, stack: str, logical_id: str) -> None:
        if holder := needed_by(cloudformation._stacks[stack], logical_id):
            raise RuntimeError(f"{holder} depends on it and could not be deleted")
        self.drop(kind, physical_id, properties, stack, logical_id)


def needed_by(stack: dict[str, Any], logical_id: str) -> str:
    """The resource that depends on this one and whose deletion failed: CloudFormation goes no further along there."""
    resources, defined = stack.get("_resources", {}), stack.get("_template", {}).get("Resources", {})
    failed = [name for name, one in resources.items() if one.get("ResourceStatus") == "DELETE_FAILED"]
    for name in failed:
        if name != logical_id and logical_id in stacks._with_dependencies([name], defined, set(resources)):
            return str(name)
    return ""
