"""Shared names and numbers: their order, and the values that must equal those of code that ships alone."""

from __future__ import annotations

from aws.endpoints import CALL_SECONDS as LAMBDA_CALL_SECONDS
from contract import DEADLINE_MS
from jobs.retries import LOST_S
from stacks.config import names


def test_each_time_limit_is_below_the_next() -> None:
    assert names.WAIT_SECONDS < LOST_S < names.API_FUNCTION_SECONDS < names.GATEWAY_SECONDS
    assert names.ENDPOINT_WAIT_SECONDS < 60 * names.CUSTOM_RESOURCE_MINUTES


def test_a_job_expires_after_its_queue_and_its_call() -> None:
    for mode, call in names.CALL_SECONDS.items():
        assert 1000 * names.DEADLINE_SECONDS[mode] in range(DEADLINE_MS.minimum, DEADLINE_MS.maximum + 1)
        assert names.job_ttl_seconds(mode, 5) > 5 * 60 + call


def test_lambda_and_stacks_have_the_same_longest_call() -> None:
    assert names.CALL_SECONDS["async"] == LAMBDA_CALL_SECONDS
