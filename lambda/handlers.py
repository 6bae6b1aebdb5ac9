"""The Lambda handlers, and their composition root: reads variables and creates the adapters of `aws/`.

Powertools and pydantic come from the public Powertools layer (requirements-laptop.txt has them for a laptop), boto3
from the Lambda runtime: this folder ships as it is in git.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from aws.budget_stop import StoppableEndpoint
from aws.endpoints import AsyncEndpoint, RealtimeEndpoint, RealtimePredictor
from aws.sns_events import Finalizer, read_records
from aws.store import BucketStore
from contract import EaselError, ModelProfile, parse_profile
from gateway.callers import AUTH
from gateway.router import Router
from gateway.service import Service
from gateway.telemetry import Telemetry
from jobs.clock import SystemClock
from jobs.lifecycle import Jobs
from jobs.outcomes import JobReporter
from jobs.ports import Endpoint, Ticket
from jobs.records import Outcome, Record
from jobs.run import run_job
from routes.apis import all_apis, render_error
from routes.generations import Generations

if TYPE_CHECKING:
    from aws.tracing import Tracing

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
    """The variables of the API function. `runner` is set if `mode` is realtime, `stop_marker` if the budget can stop
    the endpoint."""

    auth: str
    profile: ModelProfile
    bucket: str
    endpoint: str
    mode: str
    runner: str
    stop_marker: str
    wait_s: float
    deadline_ms: int
    ttl_s: float
    usd_per_hour: float | None

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> ApiSettings:
        """Read the variables. Raises `config_error` with the name of a missing or invalid variable."""
        mode = _variable(environ, "EASEL_MODE", _one_of(("async", "realtime")))
        return cls(
            auth=_variable(environ, "EASEL_AUTH", _one_of(AUTH)),
            profile=_variable(environ, "EASEL_MODEL_PROFILE", parse_profile),
            bucket=_variable(environ, "EASEL_BUCKET", str),
            endpoint=_variable(environ, "EASEL_ENDPOINT", str),
            mode=mode,
            runner=_variable(environ, "EASEL_RUNNER", str) if mode == "realtime" else "",
            stop_marker=_variable(environ, "EASEL_STOP_MARKER", str) if "EASEL_STOP_MARKER" in environ else "",
            wait_s=_variable(environ, "EASEL_WAIT_SECONDS", float),
            deadline_ms=int(1000 * _variable(environ, "EASEL_DEADLINE_SECONDS", float)),
            ttl_s=_variable(environ, "EASEL_JOB_TTL_SECONDS", float),
            usd_per_hour=_variable(environ, "EASEL_USD_PER_HOUR", float) if "EASEL_USD_PER_HOUR" in environ else None,
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
    run_job(ticket, _reporter(_store()), _predictor(), _CLOCK)


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
        reporter=_reporter(store),
        endpoint=_endpoint(settings, store),
        clock=_CLOCK,
        ttl_s=settings.ttl_s,
        on_accept=_accepted,
    )
    return Router(
        all_apis(
            Generations(
                jobs=jobs,
                profile=settings.profile,
                wait_s=settings.wait_s,
                deadline_ms=settings.deadline_ms,
                usd_per_hour=settings.usd_per_hour,
            )
        )
    )


def _endpoint(settings: ApiSettings, store: BucketStore) -> Endpoint:
    endpoint: Endpoint
    if settings.mode == "realtime":
        endpoint = RealtimeEndpoint(settings.endpoint, settings.runner)
    else:
        endpoint = AsyncEndpoint(settings.endpoint, store, settings.ttl_s)
    return StoppableEndpoint(endpoint, store, settings.stop_marker) if settings.stop_marker else endpoint


@cache
def _store() -> BucketStore:
    return BucketStore(_variable(os.environ, "EASEL_BUCKET", str))


@cache
def _predictor() -> RealtimePredictor:
    return RealtimePredictor(_variable(os.environ, "EASEL_ENDPOINT", str))


def _reporter(store: BucketStore) -> JobReporter:
    return JobReporter(store=store, clock=_CLOCK, on_end=_ended)


def _accepted(record: Record) -> None:
    _TELEMETRY.accepted(record)
    if _TRACING:
        _TRACING.annotate(record.ticket)


def _ended(record: Record, outcome: Outcome) -> None:
    _TELEMETRY.ended(record, outcome)
    if _TRACING:
        _TRACING.annotate(record.ticket)


@cache
def _finalizer() -> Finalizer:
    store = _store()
    return Finalizer(_reporter(store), store, store.key_of, _TELEMETRY)


def _variable(environ: Mapping[str, str], name: str, parse: Callable[[str], T]) -> T:
    text = environ.get(name, "")
    try:
        if text:
            return parse(text)
    except (ValueError, KeyError, TypeError):
        raise EaselError("config_error", f"the variable {name} has an invalid value", hint="Deploy again.") from None
    raise EaselError("config_error", f"the variable {name} is missing", hint="Deploy again.")


def _one_of(allowed: Sequence[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(text)
        return text

    return parse
