"""The Lambda handlers, and their composition root: reads variables and creates the adapters of `aws/`.

Powertools and pydantic come from the public Powertools layer (requirements-laptop.txt has them for a laptop), boto3
from the Lambda runtime: this folder ships as it is in git.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from aws.budget_stop import StoppableEndpoint
from aws.endpoints import AsyncEndpoint, RealtimeEndpoint, RealtimePredictor
from aws.ledger import AccountTable
from aws.models import DeployedModel, read_models
from aws.sns_events import Finalizer, read_records
from aws.store import BucketStore
from contract import EaselError
from gateway.callers import AUTH
from gateway.router import Router
from gateway.service import Service
from gateway.telemetry import Telemetry
from jobs.accounting import Accounting
from jobs.announcer import Announcer
from jobs.clock import SystemClock
from jobs.endpoints import removed
from jobs.lifecycle import Jobs, link
from jobs.outcomes import JobReporter
from jobs.ports import Endpoint, Ticket
from jobs.records import Outcome, Record
from jobs.run import run_job
from routes.apis import all_apis, render_error
from routes.generations import Generations, Model
from webhooks.offer import Webhooks

if TYPE_CHECKING:
    from aws.tracing import Tracing
    from aws.webhook_queue import BatchHandler, SqsQueue
    from webhooks.url import UrlRules

T = TypeVar("T")

_CLOCK = SystemClock()
_TELEMETRY = Telemetry(
    os.environ.get("POWERTOOLS_SERVICE_NAME", "easel"), os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "Easel")
)


def _start_tracing() -> Tracing | None:
    """Return the tracing if it is on. Its import takes time in every cold start."""
    if os.environ.get("EASEL_TRACING") != "on":
        return None
    from aws.tracing import Tracing

    return Tracing(os.environ.get("POWERTOOLS_SERVICE_NAME", "easel"))


_TRACING = _start_tracing()


def _traced(handler: Callable[[Any, Any], T]) -> Callable[[Any, Any], T]:
    return _TRACING.traced(handler) if _TRACING else handler


@dataclass(frozen=True, kw_only=True)
class ApiSettings:
    """The variables of the API function. `models`: those in the file; the first is the default.

    `runner` is set if `mode` is realtime, `stop_marker` if the budget can stop the endpoints, `webhook_queue` if
    webhooks are on.
    """

    auth: str
    models: tuple[DeployedModel, ...]
    bucket: str
    mode: str
    runner: str
    stop_marker: str
    webhook_queue: str
    wait_s: float
    deadline_ms: int
    ttl_s: float

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> ApiSettings:
        """Read the variables. Raises `config_error` with the name of a missing or invalid variable."""
        mode = _variable(environ, "EASEL_MODE", _one_of(("async", "realtime")))
        return cls(
            auth=_variable(environ, "EASEL_AUTH", _one_of(AUTH)),
            models=_variable(environ, "EASEL_MODELS", read_models),
            bucket=_variable(environ, "EASEL_BUCKET", str),
            mode=mode,
            runner=_variable(environ, "EASEL_RUNNER", str) if mode == "realtime" else "",
            stop_marker=_variable(environ, "EASEL_STOP_MARKER", str) if "EASEL_STOP_MARKER" in environ else "",
            webhook_queue=_webhook_queue(environ),
            wait_s=_variable(environ, "EASEL_WAIT_SECONDS", float),
            deadline_ms=int(1000 * _variable(environ, "EASEL_DEADLINE_SECONDS", float)),
            ttl_s=_variable(environ, "EASEL_JOB_TTL_SECONDS", float),
        )


@_traced
def api(event: Any, context: Any) -> dict[str, Any]:
    """Handle an event of API Gateway's REST proxy."""
    return _service()(event, context)


@_traced
def finalizer(event: Any, context: Any) -> None:
    """Handle an SNS event of the asynchronous endpoint's topics. Raises if the store fails, so that Lambda retries."""
    handler = _finalizer()
    for record in read_records(event):
        handler.handle(record)


@_traced
def runner(event: Any, context: Any) -> None:
    """Run the job `{"owner", "id"}` on the real-time endpoint."""
    fields = event if isinstance(event, dict) else {}
    ticket = Ticket.parse(f"{fields.get('owner')}-{fields.get('id')}")
    if ticket is None:
        raise EaselError("expected_object", "the event does not contain a job's owner and id")
    if _TRACING:
        _TRACING.annotate(ticket)
    _run(ticket)


@_traced
def webhooks(event: Any, context: Any) -> dict[str, Any]:
    """Deliver a batch of the queue of webhooks. Returns the messages that stay in the queue."""
    return _webhook_batches().handle(event)


@cache
def _service() -> Service:
    return Service(
        _router,
        auth=lambda: _settings().auth,
        steady=_CLOCK.steady,
        telemetry=_TELEMETRY,
        render_error=render_error,
    )


@cache
def _settings() -> ApiSettings:
    return ApiSettings.read(os.environ)


@cache
def _router() -> Router:
    settings = _settings()
    store = BucketStore(settings.bucket)
    jobs = Jobs(
        store=store,
        reporter=_api_reporter(store, settings.webhook_queue),
        endpoints={model.profile.id: _endpoint(settings, model, store) for model in settings.models},
        accounting=_accounting(),
        clock=_CLOCK,
        ttl_s=settings.ttl_s,
        on_accept=_accepted,
    )
    rules = _webhook_rules() if settings.webhook_queue else None
    generations = Generations(
        jobs=jobs,
        models=[Model(profile=model.profile, usd_per_hour=model.usd_per_hour) for model in settings.models],
        wait_s=settings.wait_s,
        deadline_ms=settings.deadline_ms,
        webhooks=Webhooks(store, _CLOCK.now, rules, reports_start=jobs.endpoints.default.reports_start),
    )
    return Router(all_apis(generations))


def _endpoint(settings: ApiSettings, model: DeployedModel, store: BucketStore) -> Endpoint:
    endpoint: Endpoint
    if settings.mode == "realtime":
        endpoint = RealtimeEndpoint(model.endpoint, settings.runner)
    else:
        endpoint = AsyncEndpoint(model.endpoint, model.profile.id, store, settings.ttl_s)
    return StoppableEndpoint(endpoint, store, settings.stop_marker) if settings.stop_marker else endpoint


@cache
def _store() -> BucketStore:
    return BucketStore(_variable(os.environ, "EASEL_BUCKET", str))


@cache
def _accounting() -> Accounting:
    return Accounting(AccountTable(_variable(os.environ, "EASEL_ACCOUNTS", str)), _CLOCK)


@cache
def _models() -> tuple[DeployedModel, ...]:
    return _variable(os.environ, "EASEL_MODELS", read_models)


@cache
def _predictor(endpoint: str, model: str) -> RealtimePredictor:
    return RealtimePredictor(endpoint, model)


def _run(ticket: Ticket) -> None:
    """Run a job on its model's endpoint. One of a model that is no longer deployed fails."""
    reporter = _worker_reporter()
    endpoints = {deployed.profile.id: deployed.endpoint for deployed in _models()}
    model = reporter.record(ticket).model or next(iter(endpoints))
    if model in endpoints:
        run_job(ticket, reporter, _predictor(endpoints[model], model), _CLOCK)
    else:
        reporter.fail(ticket, removed(model))


def _api_reporter(store: BucketStore, queue: str) -> JobReporter:
    """Return the reporter of the API, whose caller gets a response also while the queue of webhooks fails."""
    if not queue:
        return JobReporter(store=store, clock=_CLOCK, on_end=_ended)
    announcer = Announcer(store, _sqs(queue), _TELEMETRY.unqueued)
    return JobReporter(store=store, clock=_CLOCK, on_end=_ended, announce=announcer.announce)


def _worker_reporter() -> JobReporter:
    """Return the reporter of a function that Lambda retries, or whose event is kept, if the queue of webhooks fails."""
    store, queue = _store(), _webhook_queue(os.environ)
    if not queue:
        return JobReporter(store=store, clock=_CLOCK, on_end=_ended)
    announcer = Announcer(store, _sqs(queue), _unqueued)
    return JobReporter(store=store, clock=_CLOCK, on_end=_ended, announce=announcer.announce)


def _unqueued(ticket: Ticket, error: EaselError) -> NoReturn:
    _TELEMETRY.unqueued(ticket, error)
    raise error


@cache
def _sqs(queue: str) -> SqsQueue:
    from aws.webhook_queue import SqsQueue

    return SqsQueue(queue)


def _webhook_rules() -> UrlRules:
    from webhooks.url import UrlRules

    return UrlRules()


@cache
def _webhook_batches() -> BatchHandler:
    from aws.webhook_queue import BatchHandler
    from routes.job_views import JobViews, webhook_bodies
    from webhooks.delivery import Deliverer
    from webhooks.sender import Sender

    store, profiles = _store(), tuple(model.profile for model in _models())
    realtime = _variable(os.environ, "EASEL_MODE", _one_of(("async", "realtime"))) == "realtime"
    deliverer = Deliverer(
        store=store,
        sender=Sender(),
        rules=_webhook_rules(),
        bodies=webhook_bodies(JobViews(partial(link, store), realtime), profiles),
        clock=_CLOCK,
        telemetry=_TELEMETRY,
    )
    queue = _sqs(_variable(os.environ, "EASEL_WEBHOOK_QUEUE", str))
    return BatchHandler(queue, deliverer.deliver, _TELEMETRY)


def _accepted(record: Record) -> None:
    _TELEMETRY.accepted(record)
    if _TRACING:
        _TRACING.annotate(record.ticket)


def _ended(record: Record, outcome: Outcome) -> None:
    _TELEMETRY.ended(record, outcome)
    _accounting().on_end(record, outcome)
    if _TRACING:
        _TRACING.annotate(record.ticket)


@cache
def _finalizer() -> Finalizer:
    store = _store()
    return Finalizer(_worker_reporter(), store, store.key_of, _TELEMETRY)


def _webhook_queue(environ: Mapping[str, str]) -> str:
    return _variable(environ, "EASEL_WEBHOOK_QUEUE", str) if "EASEL_WEBHOOK_QUEUE" in environ else ""


def _variable(environ: Mapping[str, str], name: str, parse: Callable[[str], T]) -> T:
    text = environ.get(name, "")
    try:
        if text:
            return parse(text)
    except (ValueError, KeyError, TypeError, OSError):
        raise EaselError("config_error", f"the variable {name} has an invalid value", hint="Deploy again.") from None
    raise EaselError("config_error", f"the variable {name} is missing", hint="Deploy again.")


def _one_of(allowed: Sequence[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(text)
        return text

    return parse
