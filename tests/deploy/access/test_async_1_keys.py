"""Emulator test, mode async: API keys, quotas and the gateway's authorizer. Not run on AWS."""

import base64
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.deploy.harness.api_client import ApiClient, Response
from tests.deploy.harness.constants import REQUEST
from tests.deploy.harness.deployment import Deployment, parse_json_lines, wait_until
from tests.deploy.harness.observation import assert_problem

pytestmark = [pytest.mark.xdist_group("async_account"), pytest.mark.timeout(1800)]

FORMS: dict[str, Callable[[str], dict[str, str]]] = {
    "x-api-key": lambda key: {"x-api-key": key},
    "bearer": lambda key: {"authorization": f"Bearer {key}"},
    "basic": lambda key: {"authorization": f"Basic {base64.b64encode(f'any:{key}'.encode()).decode()}"},
}


def keys(deployment: Deployment, *arguments: str) -> str:
    result = deployment.account.easel("keys", *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.strip()


def send(api: ApiClient, method: str, path: str, headers: dict[str, str], body: Any = None) -> Response:
    """Send a request, and again while the gateway throttles the key: its burst is 20, its rate 10 a second."""
    found: list[Response] = []

    def is_answered() -> bool:
        found[:] = [api.fetch(method, api.base + path, body, **headers)]
        return found[0].status != 429 or found[0].json["code"] != "throttled"

    wait_until(is_answered)
    return found[0]


@pytest.mark.parametrize("form", FORMS)
def test_the_stacks_key_works_in_each_form(async_account: Deployment, form: str) -> None:
    api = async_account.api
    assert send(api, "GET", "/models", FORMS[form](api.key)).status == 200
    refused = send(api, "GET", "/models", FORMS[form]("wrong"))
    assert_problem(refused, 401, "unauthorized")
    assert refused.headers["www-authenticate"] == 'Bearer realm="Easel"'


def test_a_client_of_automatic1111_gets_a_challenge_for_a_password(async_account: Deployment) -> None:
    """These clients show `error` as text."""
    refused = send(async_account.api, "GET", "/sdapi/v1/options", {})
    problem = refused.json
    assert (refused.status, problem["code"]) == (401, "unauthorized")
    assert problem["error"] == f"{problem['title']}. {problem['hint']}"
    assert refused.headers["www-authenticate"] == 'Basic realm="Easel"'


def test_the_gateways_own_keys_open_nothing(async_account: Deployment) -> None:
    """Their values are no secret: they only count."""
    gateway = async_account.account.client("apigateway")
    values = [key["value"] for key in gateway.get_api_keys(includeValues=True, limit=500)["items"]]
    slots = [value for value in values if value.startswith("easel-usage-")]
    assert len(slots) == 8
    assert_problem(send(async_account.api, "GET", "/models", {"x-api-key": slots[0]}), 401, "unauthorized")


def test_a_key_lives_from_create_to_revoke(async_account: Deployment) -> None:
    api = async_account.api
    text = keys(async_account, "create", "alice", "--images-a-day", "3", "--days", "1")
    job = send(api, "POST", "/jobs", FORMS["bearer"](text), REQUEST).json
    assert send(api, "GET", "/usage", FORMS["basic"](text)).json["images_today"] == 1
    assert api.call("GET", f"/jobs/{job['id']}").status == 404, "it belongs to another key"
    second = keys(async_account, "rotate", "alice")
    assert send(api, "GET", "/usage", FORMS["bearer"](text)).status == 401
    wait_until(lambda: send(api, "GET", f"/jobs/{job['id']}", FORMS["bearer"](second)).json["status"] == "succeeded")
    wait_until(lambda: send(api, "GET", "/usage", FORMS["bearer"](second)).json["images_reserved"] == 0)
    usage = send(api, "GET", "/usage", FORMS["bearer"](second)).json
    assert usage["gpu_seconds_this_month"] > 0
    assert usage["usd_this_month"] > 0
    (row,) = (row for row in json.loads(keys(async_account, "usage", "--json"))["keys"] if row["name"] == "alice")
    assert (row["images"], row["images_a_day"], row["reserved"]) == (1, 3, 0)
    assert row["gpu_seconds"] == usage["gpu_seconds_this_month"]
    assert row["usd"] == usage["usd_this_month"]
    keys(async_account, "revoke", "alice")
    assert_problem(send(api, "GET", "/usage", FORMS["bearer"](second)), 401, "unauthorized")
    states = {row["name"]: row["state"] for row in json.loads(keys(async_account, "list", "--json"))["keys"]}
    assert states["alice"] == "revoked"


def test_the_usage_plan_throttles_a_key_and_no_other(async_account: Deployment) -> None:
    api, gateway = async_account.api, async_account.account.client("apigateway")
    busy, other = (FORMS["bearer"](keys(async_account, "create", name)) for name in ("busy", "other"))
    (plan,) = gateway.get_usage_plans()["items"]
    try:
        set_throttle(gateway, plan["id"], 0.01, 1)
        responses = [api.fetch("GET", f"{api.base}/models", **busy) for _ in range(3)]
        assert [response.status for response in responses] == [200, 429, 429]
        assert_problem(responses[1], 429, "throttled")
        assert api.fetch("GET", f"{api.base}/models", **other).status == 200
    finally:
        set_throttle(gateway, plan["id"], plan["throttle"]["rateLimit"], plan["throttle"]["burstLimit"])


def set_throttle(gateway: Any, plan: str, rate: float, burst: float) -> None:
    changes = {"/throttle/rateLimit": rate, "/throttle/burstLimit": burst}
    operations = [{"op": "replace", "path": path, "value": str(value)} for path, value in changes.items()]
    gateway.update_usage_plan(usagePlanId=plan, patchOperations=operations)


def test_requests_at_once_share_what_is_left_exactly(async_account: Deployment) -> None:
    """Eight at once, because each starts a process here. On the laptop's gateway there are fifty."""
    api = async_account.api
    key = FORMS["bearer"](keys(async_account, "create", "crowd", "--images-a-day", "4"))
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda _: send(api, "POST", "/jobs", key, REQUEST), range(16)))
    accepted = [response.json["id"] for response in responses if response.status == 202]
    refused = [response for response in responses if response.status == 429]
    assert (len(accepted), len(refused)) == (4, 12)
    assert_problem(refused[0], 429, "quota_exceeded")
    assert refused[0].headers["x-should-retry"] == "false"
    for id in accepted:
        wait_until(lambda id=id: send(api, "GET", f"/jobs/{id}", key).json["status"] == "succeeded")  # type: ignore[misc]
    wait_until(lambda: send(api, "GET", "/usage", key).json["images_reserved"] == 0)
    assert send(api, "GET", "/usage", key).json["images_today"] == 4


def test_no_key_is_in_a_log(async_account: Deployment) -> None:
    text = keys(async_account, "create", "logged")
    assert send(async_account.api, "GET", "/models", FORMS["bearer"](text)).status == 200
    logs = async_account.account.client("logs")
    lines = []
    for group in logs.describe_log_groups()["logGroups"]:
        lines += [event["message"] for event in logs.filter_log_events(logGroupName=group["logGroupName"])["events"]]
    refusals = parse_json_lines(line for line in lines if '"message": "refused"' in line)
    assert {line["reason"] for line in refusals} >= {"unknown key", "no key"}
    assert not re.search(r"easel_[0-9a-f]{16}_[0-9a-f]{40}", "".join(lines))
