"""Running one job on an endpoint that is called and waited for."""

from __future__ import annotations

from random import uniform

from contract import EaselError
from jobs.outcomes import JobReporter
from jobs.ports import Clock, Predictor, Ticket

MAX_CONTAINER_DEATHS = 2
"""A job during which the container died this often fails."""
_TRIES = 3
_NOT_STARTED = ("throttled", "upstream_unavailable", "model_loading", "model_busy")
"""Errors after which the container does not run the job, so that a new call is safe."""


def run_job(ticket: Ticket, reporter: JobReporter, predictor: Predictor, clock: Clock) -> None:
    """Run a job from start to end. Does nothing if it was cancelled or has already started."""
    body = reporter.start(ticket)
    if body is None:
        return
    try:
        response = _predict(ticket, body, predictor, clock)
    except EaselError as error:
        reporter.fail(ticket, error)
    else:
        reporter.finish(ticket, response)


def _predict(ticket: Ticket, body: bytes, predictor: Predictor, clock: Clock) -> bytes:
    deaths = 0
    for _ in range(_TRIES - 1):
        try:
            return predictor.predict(ticket, body)
        except EaselError as error:
            died = error.code == "container_died"
            deaths += died
            if error.code not in _NOT_STARTED and not (died and deaths < MAX_CONTAINER_DEATHS):
                raise
        clock.sleep(uniform(1, 5))  # noqa: S311  # random, so that refused runners do not retry at the same time
    return predictor.predict(ticket, body)
