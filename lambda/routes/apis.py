"""All APIs of the service. To add one: a module in this folder and an entry in `all_apis`."""

from __future__ import annotations

from contract import ModelProfile
from gateway.router import Api
from jobs.lifecycle import Jobs
from routes.native import NativeApi


def all_apis(*, jobs: Jobs, profile: ModelProfile, wait_s: float, deadline_ms: int | None) -> list[Api]:
    """Return every API.

    `wait_s`: how long a synchronous request waits for its job. `deadline_ms`: deadline of requests without one.
    """
    return [
        NativeApi(jobs=jobs, profile=profile, wait_s=wait_s, deadline_ms=deadline_ms),
    ]
