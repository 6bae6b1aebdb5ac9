"""The composition root of the functions: variables in, adapters of `aws.py` made, handlers out.

Powertools and pydantic come from the public Powertools layer (requirements-laptop.txt has them for a laptop), boto3
from the Lambda runtime: this folder is shipped as it stands in git.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from aws.adapters import AsyncEndpoint, BucketStore, RealtimeEndpoint, RealtimePredictor, WallClock
from aws.sns_events import Finalizer, read_records
from contract import EaselError, ModelProfile, parse_profile
from gateway.service import Router, Service
from gateway.telemetry import Telemetry
from jobs.lifecycle import Jobs
from jobs.outcomes import Finisher, draw
from jobs.ports import Endpoint, Ticket
from routes.native import Native

T = TypeVar("T")

_CLOCK = WallClock()
_TELEMETRY = Telemetry(
    os.environ.get("POWERTOOLS_SERVICE_NAME", "easel"), os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "Easel")
)


@dataclass(frozen=True, kw_only=True)
class ApiSettings:
    """The variables of the API function; `runner` only where `mode` is realtime."""

    profile: ModelProfile
    bucket: str
    endpoint: str
    mode: str
    runner: str
    wait_s: float
    deadline_ms: int
    ttl_s: float

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> ApiSettings:
        """Raises `config_error` with the name of the variable."""
        mode = _variable(environ, "EASEL_MODE", _mode)
        return cls(
            profile=_variable(environ, "EASEL_MODEL_PROFILE", parse_profile),
            bucket=_variable(environ, "EASEL_BUCKET", str),
            endpoint=_variable(environ, "EASEL_ENDPOINT", str),
            mode=mode,
            runner=_variable(environ, "EASEL_RUNNER", str) if mode == "realtime" else "",
            wait_s=_variable(environ, "EASEL_WAIT_SECONDS", float),
            deadline_ms=int(1000 * _variable(environ, "EASEL_DEADLINE_SECONDS", float)),
            ttl_s=_variable(environ, "EASEL_JOB_TTL_SECONDS", float),
        )


def api(event: Any, context: Any) -> dict[str, Any]:
    """API Gateway's REST proxy event to its answer."""
    return _service()(event, context)


def finalizer(event: Any, context: Any) -> None:
    """Messages of the asynchronous endpoint's two topics. Raises so that Lambda calls again where the store refused."""
    made = _finalizer()
    for record in read_records(event):
        made.take(record)


def runner(event: Any, context: Any) -> None:
    """`{"owner", "id"}`: draws one job on the real-time endpoint."""
    named = event if isinstance(event, dict) else {}
    ticket = Ticket.parse(f"{named.get('owner')}-{named.get('id')}")
    if ticket is None:
        raise EaselError("expected_object", "the event names no job")
    draw(ticket, _finisher(_store()), _predictor(), _CLOCK)


@cache
def _service() -> Service:
    return Service(_router, _CLOCK.now, _TELEMETRY)


@cache
def _router() -> Router:
    settings = ApiSettings.read(os.environ)
    store = BucketStore(settings.bucket)
    jobs = Jobs(
        store=store,
        endpoint=_endpoint(settings, store),
        clock=_CLOCK,
        ttl_s=settings.ttl_s,
        on_end=_TELEMETRY.ended,
        on_accept=_TELEMETRY.accepted,
    )
    door = Native(jobs=jobs, profile=settings.profile, wait_s=settings.wait_s, deadline_ms=settings.deadline_ms)
    return Router([door])


def _endpoint(settings: ApiSettings, store: BucketStore) -> Endpoint:
    if settings.mode == "realtime":
        return RealtimeEndpoint(settings.endpoint, settings.runner)
    return AsyncEndpoint(settings.endpoint, store, settings.ttl_s)


@cache
def _store() -> BucketStore:
    return BucketStore(_variable(os.environ, "EASEL_BUCKET", str))


@cache
def _predictor() -> RealtimePredictor:
    return RealtimePredictor(_variable(os.environ, "EASEL_ENDPOINT", str))


def _finisher(store: BucketStore) -> Finisher:
    return Finisher(store=store, clock=_CLOCK, on_end=_TELEMETRY.ended)


@cache
def _finalizer() -> Finalizer:
    store = _store()
    return Finalizer(_finisher(store), store, store.key_of, _TELEMETRY)


def _variable(environ: Mapping[str, str], name: str, read: Callable[[str], T]) -> T:
    text = environ.get(name, "")
    try:
        if text:
            return read(text)
    except (ValueError, KeyError, TypeError):
        raise EaselError("config_error", f"the variable {name} has a wrong value") from None
    raise EaselError("config_error", f"the variable {name} is missing")


def _mode(text: str) -> str:
    if text not in ("async", "realtime"):
        raise ValueError(text)
    return text
