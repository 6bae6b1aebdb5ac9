"""Fixtures of the doctor's tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from easel.cloud.doctor import run
from easel.cloud.doctor.check import Result
from easel.cloud.doctor.plan import Plan, read_plan
from easel.cloud.doctor.run import Doctor
from tests.easel.cloud.fake_aws import REGION, FakeAws
from tests.easel.running import ROOT

RunDoctor = Callable[..., dict[str, Result]]


@pytest.fixture(scope="session")
def plan() -> Plan:
    """The plan of the embedded model with default settings."""
    return read_plan(["model=emoji"], ROOT)


@pytest.fixture
def doctor(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> RunDoctor:
    """Run all checks of an account and return the results by code."""

    def run_all(aws: FakeAws, plan: Plan = plan) -> dict[str, Result]:
        monkeypatch.setattr(run, "open_account", lambda *_: aws.account())
        return {result.code: result for result in Doctor(plan, ROOT).results(REGION)}

    return run_all
