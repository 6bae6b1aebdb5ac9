"""Traces of the functions in X-Ray, by Powertools' Tracer. Imported only where the stack sets `EASEL_TRACING`.

Lambda makes the segment of an invocation. This adds a subsegment for the handler and one for each call of AWS, and
sends them to the daemon beside the function. No text of an exception is sent, because it may quote a prompt.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from aws_lambda_powertools import Tracer
from aws_xray_sdk.core import xray_recorder
from aws_xray_sdk.core.emitters.udp_emitter import UDPEmitter

from jobs.ports import Ticket

T = TypeVar("T")


class Tracing:
    """Records handlers and what they call."""

    def __init__(self, service: str) -> None:
        xray_recorder.configure(emitter=_Emitter())
        self._tracer = Tracer(service=service, patch_modules=["botocore"])

    def traced(self, handler: Callable[[Any, Any], T]) -> Callable[[Any, Any], T]:
        """Return `handler` in a subsegment of its name."""

        @functools.wraps(handler)
        def run(event: Any, context: Any) -> T:
            with self._tracer.provider.in_subsegment(name=f"## {handler.__name__}"):
                return handler(event, context)

        return run

    def annotate(self, ticket: Ticket) -> None:
        """Make the trace findable by the job: `annotation.job = "<id>"`. Works in any thread of an invocation."""
        with self._tracer.provider.in_subsegment(name="## job") as subsegment:
            subsegment.put_annotation("job", ticket.id)


class _Emitter(UDPEmitter):  # type: ignore[misc]  # the package has no types
    """Sends exceptions with their type and place only. A call that AWS answers with 4xx, such as 404, is no fault."""

    def send_entity(self, entity: Any) -> None:
        for exception in entity.cause.get("exceptions", ()) if isinstance(entity.cause, dict) else ():
            exception.message = ""
        if entity.namespace == "aws" and entity.http.get("response", {}).get("status", 500) < 500:
            entity.fault = False
        super().send_entity(entity)
