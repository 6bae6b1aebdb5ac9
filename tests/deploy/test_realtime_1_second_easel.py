"""Emulator test, mode realtime: a second Easel in the account, async, which gets no budget. Not run on AWS.

It is destroyed at the end, and the first one stays.
"""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from stacks.config.names import DEFAULT, Names
from tests.deploy.conftest import decode_images
from tests.deploy.harness.api_client import ApiClient
from tests.deploy.harness.constants import REQUEST, SECOND
from tests.deploy.harness.deployment import Completed, Deployment, join_lines

pytestmark = [pytest.mark.xdist_group("realtime_account"), pytest.mark.timeout(1800)]

NAMES = Names(SECOND)


@dataclass
class SecondEasel:
    """The second Easel of an account: its first deploy, and what `easel doctor` found then."""

    deployed: Completed
    checks: dict[str, Any]
    api: ApiClient


@pytest.fixture(scope="module")
def second(realtime_account: Deployment) -> SecondEasel:
    """A deploy of another name, in an organisation that has not enabled budgets for the account."""
    account = realtime_account.account
    with account.hold("NoBudgets"):
        deployed = realtime_account.deploy("second")
        checks = json.loads(account.easel("doctor", "--json", "--name", SECOND).stdout)["checks"]
    return SecondEasel(deployed, {check["code"]: check for check in checks}, ApiClient(account, NAMES))


def test_only_the_budget_fails(realtime_account: Deployment, second: SecondEasel) -> None:
    assert second.deployed.returncode != 0
    assert "is a linked account" in join_lines(second.deployed.stdout)
    statuses = realtime_account.account.stack_statuses()
    assert {statuses.pop(name) for name in (NAMES.storage, NAMES.model, NAMES.api)} == {"CREATE_COMPLETE"}
    assert statuses.pop(NAMES.budget) == "ROLLBACK_COMPLETE"
    assert set(statuses) == {"CDKToolkit", DEFAULT.storage, DEFAULT.model, DEFAULT.api, DEFAULT.budget}


def test_doctor_says_how_to_do_without_the_budget(second: SecondEasel) -> None:
    for code in ("budget", "stacks"):
        assert second.checks[code]["status"] == "failed", second.checks[code]
        assert "-c budget_usd=0" in second.checks[code]["remedy"]
    assert f"npx cdk destroy -c name={SECOND} {NAMES.budget}" in second.checks["stacks"]["remedy"]
    assert second.checks["endpoint"]["status"] == "ok", second.checks["endpoint"]


def test_both_generate_and_know_only_their_own_jobs(
    realtime_account: Deployment, second: SecondEasel, expected_images: list[list[bytes]]
) -> None:
    for api in (realtime_account.api, second.api):
        response = api.call("POST", "/generate", REQUEST)
        assert response.status == 200, response.body
        assert decode_images(response.json) == expected_images[0]
    (job,) = second.api.call("GET", "/jobs").json["jobs"]
    assert realtime_account.api.call("GET", f"/jobs/{job['id']}").status == 404


def test_outputs_are_those_of_the_name(realtime_account: Deployment, second: SecondEasel) -> None:
    account = realtime_account.account
    for name, api in ((SECOND, second.api), (DEFAULT.name, realtime_account.api)):
        found = json.loads(account.easel("outputs", "--json", "--name", name).stdout)
        assert found["ApiUrl"] == account.outputs(Names(name))["ApiUrl"]
        assert api.key in account.easel("outputs", "--export", "--name", name).stdout


def test_destroying_one_leaves_the_other(
    realtime_account: Deployment, second: SecondEasel, expected_images: list[list[bytes]]
) -> None:
    account = realtime_account.account
    destroyed = account.destroy(realtime_account.assemblies / "second")
    assert destroyed.returncode == 0, destroyed.stdout[-4000:]
    scan = account.easel("leftovers", "--name", SECOND)
    assert scan.returncode == 0, scan.stdout + scan.stderr
    assert {leftover["code"] for leftover in realtime_account.leftovers()["leftovers"]} >= {
        "stack",
        "endpoint",
        "bucket",
    }
    response = realtime_account.api.call("POST", "/generate", REQUEST)
    assert decode_images(response.json) == expected_images[0]
