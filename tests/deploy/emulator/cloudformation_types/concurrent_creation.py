"""Resources that CloudFormation creates at the same time as others. MiniStack 1.5.33 creates one after the other."""

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any

from ministack.services import cloudformation
from ministack.services.cloudformation import engine, stacks

WATCH = "Custom::EaselEndpointStart"
"""A custom resource that waits for a resource beside it."""
FAILURE_SECONDS = 60
running: dict[str, tuple[str, Future[None]]] = {}
"""Logical id and end of the newest watch by stack."""


def wait_for_watch(stack: str) -> None:
    """Wait until a watch has seen a failure. CloudFormation too deletes a failed resource later, in the rollback."""
    if stack in running:
        wait([running[stack][1]], FAILURE_SECONDS)


class ConcurrentCreation:
    """Creates a `WATCH` in the background. If another resource fails, the failure of the watch is reported first.

    CloudFormation also reports what fails first. On success the watch's own result is not waited for.
    """

    def __init__(self) -> None:
        self.sort, self.create = stacks._topological_sort, stacks._provision_keeping_seed
        self.update = stacks._update_keeping_seed

    def install(self) -> None:
        stacks._topological_sort, stacks._provision_keeping_seed = self.order, self.create_resource
        stacks._update_keeping_seed = self.update_resource

    def order(self, resources: dict[str, Any], conditions: dict[str, Any]) -> list[str]:
        """Return the ids in the order of creation, with a watch as early as its dependencies allow."""
        ordered: list[str] = self.sort(resources, conditions)
        for id in [id for id in ordered if resources[id].get("Type") == WATCH]:
            ordered.remove(id)
            needed = engine._extract_deps(resources[id], set(resources))
            ordered.insert(max((ordered.index(name) + 1 for name in needed if name in ordered), default=0), id)
        return ordered

    def create_resource(self, resource_type: str, logical_id: str, properties: Any, stack: str) -> Any:
        if resource_type == WATCH:
            self._start(logical_id, stack, lambda: self.create(WATCH, logical_id, properties, stack))
            return (properties["Endpoint"], {}), ""
        try:
            return self.create(resource_type, logical_id, properties, stack)
        except Exception:
            self._report_failure(stack)
            raise

    def update_resource(
        self, kind: str, id: str, old: Any, new: Any, stack: str, logical_id: str, old_data: Any
    ) -> Any:
        """Update a watch in the background: the endpoint that it waits for may be created by the same update."""
        if kind != WATCH:
            return self.update(kind, id, old, new, stack, logical_id, old_data)
        self._start(logical_id, stack, lambda: self.update(kind, id, old, new, stack, logical_id, old_data))
        return (new["Endpoint"], {}), ""

    def _start(self, logical_id: str, stack: str, action: Callable[[], Any]) -> None:
        future: Future[None] = Future()

        def run() -> None:
            try:
                action()
                future.set_result(None)
            except Exception as error:
                future.set_exception(error)

        running[stack] = logical_id, future
        threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True).start()

    def _report_failure(self, stack: str) -> None:
        if stack not in running:
            return
        logical_id, future = running.pop(stack)
        try:
            failure = future.exception(FAILURE_SECONDS)
        except TimeoutError:
            return
        if failure:
            id = cloudformation._stacks[stack]["StackId"]
            stacks._add_event(id, stack, logical_id, WATCH, "CREATE_FAILED", str(failure))
