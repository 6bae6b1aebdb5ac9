"""The API's function on a laptop, as `lambda/handlers.py` builds it for the cloud."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from contract import GenerationRequest
from easel.laptop.container.served_model import ServedModel
from easel.laptop.endpoint import LaptopEndpoint
from easel.laptop.settings import JOB_TTL_SECONDS
from easel.laptop.storage.data_folder import DataFolder
from easel.laptop.storage.queue import Queue
from gateway.router import Router
from gateway.service import Service
from gateway.telemetry import Telemetry
from jobs.accounting import Accounting
from jobs.lifecycle import Jobs
from jobs.outcomes import JobReporter, announce_nothing
from jobs.ports import Clock
from jobs.records import Outcome, Record
from jobs.webhook import Webhook
from routes.apis import all_apis, render_error
from routes.generations import Generations, Model
from stacks.config.names import DEADLINE_SECONDS, WAIT_SECONDS
from webhooks.offer import Webhooks
from webhooks.url import UrlRules


class _BoundedJobs(Jobs):
    """Jobs that refuses new jobs while the queue is full."""

    def __init__(self, queue: Queue, **options: Any) -> None:
        super().__init__(**options)
        self._queue = queue

    def accept(
        self,
        owner: str,
        request: GenerationRequest,
        key: str = "",
        digest: str = "",
        webhook: Webhook | None = None,
        warnings: Sequence[str] = (),
    ) -> Record:
        self._queue.check_room(request.model or self.endpoints.default_model)
        return super().accept(owner, request, key, digest, webhook, warnings)


def make_handler(
    data: DataFolder,
    models: Sequence[ServedModel],
    clock: Clock,
    on_submit: Callable[[], None],
    rules: UrlRules | None = None,
) -> Service:
    """Return a handler that uses a folder, a queue and containers where the cloud has a bucket and endpoints.

    `models`: the first is the default. `on_submit` is called from the handler's thread after a job was queued.
    `rules`: of webhooks; None: they are off.
    """
    telemetry, store, accounting = Telemetry(namespace=""), data.store(), Accounting(data.accounts, clock)

    def on_end(record: Record, outcome: Outcome) -> None:
        telemetry.ended(record, outcome)
        accounting.on_end(record, outcome)

    announce = data.announce if rules else announce_nothing
    jobs = _BoundedJobs(
        data.queue,
        store=store,
        reporter=JobReporter(store=store, clock=clock, on_end=on_end, announce=announce),
        endpoints={model.id: LaptopEndpoint(data.queue, model, models, on_submit) for model in models},
        accounting=accounting,
        clock=clock,
        ttl_s=JOB_TTL_SECONDS,
        on_accept=telemetry.accepted,
    )
    deadline_ms = 1000 * DEADLINE_SECONDS["async"]
    webhooks = Webhooks(store, clock.now, rules, reports_start=True)
    served = [Model(profile=model.profile) for model in models]
    generations = Generations(jobs=jobs, models=served, wait_s=WAIT_SECONDS, deadline_ms=deadline_ms, webhooks=webhooks)
    router = Router(all_apis(generations))
    return Service(
        lambda: router, auth=lambda: "key", steady=clock.steady, telemetry=telemetry, render_error=render_error
    )
