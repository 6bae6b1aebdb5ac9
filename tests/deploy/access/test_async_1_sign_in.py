"""Emulator test, mode async: people sign in on the page, and own their jobs. Not run on AWS."""

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.deploy.access.test_async_1_keys import FORMS, keys, send
from tests.deploy.harness.constants import REQUEST
from tests.deploy.harness.deployment import Deployment
from tests.deploy.harness.environment import DEPLOY_TESTS, ROOT
from tests.deploy.harness.observation import assert_problem

pytestmark = [pytest.mark.xdist_group("async_account"), pytest.mark.timeout(1800)]

NAME, ADDRESS, PASSWORD = "alice", "alice@example.com", "A password of 1!"


@dataclass
class SignedIn:
    """What the page did in Chromium, and the access token that it had."""

    pool: str
    token: str
    shown: dict[str, Any]


@pytest.fixture(scope="module")
def alice(async_account: Deployment, chromium: str) -> Iterator[SignedIn]:
    """A person who was invited, chose a password, generated an image on the page and signed out."""
    account = async_account.account
    arguments = account.outputs()["InviteCommand"].split()
    pool = arguments[arguments.index("--user-pool-id") + 1]
    idp = account.client("cognito-idp")
    attributes = [{"Name": "email", "Value": ADDRESS}, {"Name": "email_verified", "Value": "true"}]
    idp.admin_create_user(UserPoolId=pool, Username=NAME, UserAttributes=attributes, TemporaryPassword="First one 1!")
    script = DEPLOY_TESTS / "harness/generate_in_browser.mjs"
    url = f"https://{async_account.api.site}/"
    options = (str(ROOT), url, str(account.port), ADDRESS, "First one 1!", PASSWORD, str(REQUEST["prompt"]))
    result = subprocess.run(
        ("node", script, *options), env=os.environ | {"CHROMIUM": chromium}, text=True, capture_output=True, timeout=240
    )
    assert result.returncode == 0, result.stdout + result.stderr
    shown = json.loads(result.stdout)
    yield SignedIn(pool, shown.pop("token"), shown)


@pytest.mark.browser
def test_the_page_generates_for_who_has_signed_in(async_account: Deployment, alice: SignedIn) -> None:
    """The page's policy blocks none of its files, requests and images; the image shown has the API's bytes."""
    assert (alice.shown["user"], alice.shown["kept"]) == (ADDRESS, REQUEST["prompt"]), "the draft stays"
    bearer = FORMS["bearer"](alice.token)
    (job,) = send(async_account.api, "GET", "/jobs", bearer).json["jobs"]
    link = job["images"][0]["url"]
    assert base64.b64decode(alice.shown["image"]) == async_account.api.follow(link).body
    assert alice.shown["errors"] == []


@pytest.mark.browser
def test_the_user_owns_the_job_and_has_a_quota(async_account: Deployment, alice: SignedIn) -> None:
    api, bearer = async_account.api, FORMS["bearer"](alice.token)
    (job,) = send(api, "GET", "/jobs", bearer).json["jobs"]
    assert api.call("GET", f"/jobs/{job['id']}").status == 404, "it belongs to the user, not to the stack's key"
    usage = send(api, "GET", "/usage", bearer).json
    assert (usage["images_today"], usage["images_a_day"]) == (1, 100)
    rows = {row["name"]: row for row in json.loads(keys(async_account, "usage", "--json"))["keys"]}
    assert rows[f"user:{NAME}"]["images_today"] == 1


@pytest.mark.browser
def test_nothing_of_the_sign_in_stays_in_the_page_after_signing_out(alice: SignedIn) -> None:
    assert alice.shown["storedAfter"] == []
    assert alice.shown["signedOut"] is True
    assert alice.shown["refreshed"] == 400, "the refresh token is revoked"


@pytest.mark.browser
def test_other_tokens_of_the_pool_are_refused(async_account: Deployment, alice: SignedIn) -> None:
    """An id token, and an access token of another client: without the scope of the API."""
    idp = async_account.account.client("cognito-idp")
    flows = ["ALLOW_ADMIN_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]
    client = idp.create_user_pool_client(UserPoolId=alice.pool, ClientName="other", ExplicitAuthFlows=flows)
    id = client["UserPoolClient"]["ClientId"]
    result = idp.admin_initiate_auth(
        UserPoolId=alice.pool, ClientId=id, AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": NAME, "PASSWORD": PASSWORD},
    )["AuthenticationResult"]  # fmt: skip
    idp.delete_user_pool_client(UserPoolId=alice.pool, ClientId=id)
    for token in (result["AccessToken"], result["IdToken"], alice.token[:-8] + "AAAAAAAA"):
        assert_problem(send(async_account.api, "GET", "/models", FORMS["bearer"](token)), 401, "unauthorized")


@pytest.mark.browser
def test_a_revoked_user_is_refused_at_once(async_account: Deployment, alice: SignedIn) -> None:
    bearer = FORMS["bearer"](alice.token)
    assert send(async_account.api, "GET", "/models", bearer).status == 200
    keys(async_account, "revoke", f"user:{NAME}")
    assert_problem(send(async_account.api, "GET", "/models", bearer), 401, "unauthorized")


@pytest.mark.browser
def test_no_token_is_in_a_log(async_account: Deployment, alice: SignedIn) -> None:
    logs = async_account.account.client("logs")
    lines = []
    for group in logs.describe_log_groups()["logGroups"]:
        lines += [event["message"] for event in logs.filter_log_events(logGroupName=group["logGroupName"])["events"]]
    assert any('"reason": "token of another client"' in line for line in lines)
    assert not any(part in line for line in lines for part in alice.token.split(".")[1:])
