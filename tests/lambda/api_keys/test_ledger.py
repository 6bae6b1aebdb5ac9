"""Keys and accounts in DynamoDB (moto) and in a laptop's folder: both are the same ledger."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from fakes import TABLE, create_table
from faults import Fault, serve
from moto import mock_aws

import authorizer
from api_keys.keys import Key, new_key
from aws import ledger as module
from aws.ledger import AccountTable
from aws.operator_key import GatewayKey
from contract import EaselError
from easel.laptop.storage.accounts import AccountFolder
from jobs.accounts import Account, Amount, Limits, Month

OWNER, JOB, MONTH = "0123456789abcdef", "0" * 44, "2026-11"
HELD = Amount(images=2, gpu_ms=1500)
STACK_KEY: dict[str, Any] = {"id": "abc123", "value": "the text of the stack's key", "enabled": True}
METHOD = "arn:aws:execute-api:us-east-1:123456789012:abc/v1/GET/jobs"


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture(params=["table", "folder"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AccountTable | AccountFolder]:
    if request.param == "folder":
        yield AccountFolder(tmp_path / "accounts")
        return
    with mock_aws():
        create_table()
        yield AccountTable(TABLE)


def reserve(ledger: Any, job: str = JOB, amount: Amount = HELD, day: int = 29, **limits: int) -> Any:
    return ledger.reserve(OWNER, MONTH, day, job, amount, Limits(**limits))


def month(ledger: Any) -> Month:
    found: Month = ledger.read(OWNER, MONTH).months[MONTH]
    return found


def test_an_owner_without_a_key_and_jobs_has_an_empty_account(ledger: Any) -> None:
    assert ledger.read(OWNER, MONTH) == Account()
    assert (ledger.find(OWNER), list(ledger.all()), ledger.accounts()) == (None, [], {})


def test_a_reservation_is_added_and_replaced_by_what_was_used(ledger: Any) -> None:
    assert reserve(ledger) is True
    assert month(ledger) == Month(days={29: 2}, gpu_ms=1500, open={JOB: HELD})
    assert ledger.settle(OWNER, MONTH, 29, JOB, HELD, Amount(images=1, gpu_ms=4000), "") is True
    assert month(ledger) == Month(days={29: 1}, gpu_ms=4000, jobs=1)


def test_gpu_time_is_added_to_the_model_of_the_job(ledger: Any) -> None:
    for job, model, gpu_ms in (
        ("1", "sd-1.5", 400),
        ("2", "emoji", 30),
        ("3", "sd-1.5", 5),
        ("4", "", 1),
        ("5", "x", 0),
    ):
        reserve(ledger, job)
        assert ledger.settle(OWNER, MONTH, 29, job, HELD, Amount(images=1, gpu_ms=gpu_ms), model) is True
    assert (month(ledger).models, month(ledger).gpu_ms) == ({"sd-1.5": 405, "emoji": 30}, 436)


def test_a_job_without_images_leaves_nothing(ledger: Any) -> None:
    reserve(ledger)
    assert ledger.settle(OWNER, MONTH, 29, JOB, HELD, Amount(), "") is True
    assert month(ledger) == Month(days={29: 0}, gpu_ms=0, jobs=0)


def test_a_job_reserves_and_settles_once(ledger: Any) -> None:
    assert [reserve(ledger), reserve(ledger)] == [True, False]
    assert ledger.settle(OWNER, MONTH, 29, JOB, Amount(images=1), Amount(), "") is False, "another reservation"
    assert [ledger.settle(OWNER, MONTH, 29, JOB, HELD, HELD, "") for _ in range(2)] == [True, False]
    assert ledger.settle(OWNER, "2026-10", 29, JOB, HELD, HELD, "") is False
    assert month(ledger).days == {29: 2}


@pytest.mark.parametrize(("images", "result"), [(3, True), (2, True), (1, "images"), (0, "images")])
def test_images_are_limited_by_day(ledger: Any, images: int, result: Any) -> None:
    assert reserve(ledger, images_a_day=images) == result


def test_a_day_is_full_exactly_at_its_limit(ledger: Any) -> None:
    image = Amount(images=1)
    assert reserve(ledger, images_a_day=3) is True
    assert reserve(ledger, "1" * 44, image, images_a_day=3) is True
    assert reserve(ledger, "2" * 44, image, images_a_day=3) == "images"
    assert reserve(ledger, "2" * 44, image, day=30, images_a_day=3) is True


@pytest.mark.parametrize(("seconds", "result"), [(2, True), (1, "gpu_seconds")])
def test_gpu_time_is_limited_by_month(ledger: Any, seconds: int, result: Any) -> None:
    reserve(ledger)
    assert reserve(ledger, "1" * 44, gpu_seconds_a_month=seconds) == result


def test_months_before_are_not_read(ledger: Any) -> None:
    reserve(ledger)
    ledger.reserve(OWNER, "2026-10", 1, JOB, HELD, Limits())
    assert ledger.read(OWNER, MONTH).months.keys() == {MONTH}
    assert ledger.read(OWNER, "2026-10").months.keys() == {"2026-10", MONTH}


def test_keys_are_stored_with_their_limits(ledger: Any) -> None:
    _, key = new_key("alice", 1.5, 8, [])
    key = replace(key, images_a_day=3, gpu_seconds_a_month=9, expires_at=7.25)
    ledger.put(key)
    assert ledger.find(key.id) == key
    assert ledger.read(key.id, MONTH).limits == Limits(images_a_day=3, gpu_seconds_a_month=9)
    ledger.reserve(key.id, MONTH, 1, JOB, HELD, Limits())
    ledger.put(replace(key, images_a_day=None))
    assert [item.images_a_day for item in ledger.all()] == [None]
    assert ledger.accounts()[key.id].months[MONTH].days == {1: 2}, "a changed key keeps its account"


def test_the_limits_of_a_key_and_its_account_are_read_together(ledger: Any) -> None:
    _, key = new_key("alice", 0, 8, [])
    ledger.put(replace(key, images_a_day=1))
    ledger.reserve(key.id, MONTH, 1, JOB, HELD, Limits())
    found = ledger.read(key.id, MONTH)
    assert (found.limits.images_a_day, found.months[MONTH].days) == (1, {1: 2})


# --- a folder only -------------------------------------------------------------------------------


def test_fifty_threads_share_ten_images_in_a_folder(tmp_path: Path) -> None:
    def attempt(number: int) -> bool:
        return reserve(AccountFolder(tmp_path), f"{number:044x}", Amount(images=1), images_a_day=10) is True

    with ThreadPoolExecutor(50) as pool:
        assert sum(pool.map(attempt, range(50))) == 10
    assert sum(month(AccountFolder(tmp_path)).days.values()) == 10
    assert not list(tmp_path.glob("*.draft"))


@pytest.mark.parametrize("content", ["", "[]", "{", '{"key": {}, "months": {}}', '{"key": null}', '{"months": []}'])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / f"{OWNER}.json").write_text(content)
    with pytest.raises(EaselError) as caught:
        AccountFolder(tmp_path).read(OWNER, MONTH)
    assert caught.value.code == "record_damaged"
    assert str(tmp_path) in caught.value.hint


# --- a table only --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "expected"),
    [("AccessDeniedException", "config_error"), ("ResourceNotFoundException", "config_error"),
     ("ThrottlingException", "throttled"), ("InternalServerError", "upstream_error")],
)  # fmt: skip
def test_errors_of_aws_are_errors_of_the_contract(code: str, expected: str) -> None:
    client = boto3.client("dynamodb")
    with Stubber(client) as stub:
        stub.add_client_error("query", code)
        with pytest.raises(EaselError) as caught:
            AccountTable(TABLE, client).read(OWNER, MONTH)
    assert caught.value.code == expected
    assert isinstance(caught.value.__cause__, ClientError)


def test_a_failed_read_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve() as server:
        server.fault = Fault(500, "InternalServerError")
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", server.url)
        with pytest.raises(EaselError, match="failed"):
            AccountTable(TABLE).read(OWNER, MONTH)
        assert len(server.requests) == 3


# --- the authorizer ------------------------------------------------------------------------------


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Key, str]]:
    """A key with its text. API Gateway is a local server."""
    with mock_aws(), serve() as server:
        create_table()
        server.fault = Fault(200, body=STACK_KEY)
        monkeypatch.setenv("AWS_ENDPOINT_URL_API_GATEWAY", server.url)
        monkeypatch.setenv("EASEL_ACCOUNTS", TABLE)
        monkeypatch.setenv("EASEL_OPERATOR_KEY", STACK_KEY["id"])
        monkeypatch.setenv("EASEL_USAGE_PREFIX", "easel-usage-")
        authorizer._authorizer.cache_clear()
        text, key = new_key("alice", 0, 8, [])
        AccountTable(TABLE).put(key)
        yield key, text
        authorizer._authorizer.cache_clear()


def authorize(key: str) -> Any:
    headers = {"Authorization": f"Bearer {key}"}
    return authorizer.handler({"methodArn": METHOD, "path": "/jobs", "headers": headers}, None)


def test_the_handler_allows_keys_and_logs_refusals_without_them(
    deployed: tuple[Key, str], capsys: pytest.CaptureFixture[str]
) -> None:
    key, text = deployed
    response = authorize(text)
    assert (response["context"], response["usageIdentifierKey"]) == ({"owner": key.id}, "easel-usage-0")
    assert authorize(STACK_KEY["value"])["usageIdentifierKey"] == STACK_KEY["value"]
    assert capsys.readouterr().out == ""
    AccountTable(TABLE).put(replace(key, revoked_at=1))
    (statement,) = authorize(text)["policyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    line = json.loads(capsys.readouterr().out)
    assert (line["message"], line["reason"], line["key"]) == ("refused", "revoked", key.id)
    assert text not in json.dumps(line)


def test_the_stacks_key_is_cached_for_a_minute_and_may_be_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    time = [0.0]
    with serve() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_API_GATEWAY", server.url)
        server.fault = Fault(200, body=STACK_KEY)
        key = GatewayKey(str(STACK_KEY["id"]), now=lambda: time[0])
        assert [key.value(), key.value()] == [STACK_KEY["value"]] * 2
        server.fault = Fault(200, body={**STACK_KEY, "enabled": False})
        assert (key.value(), len(server.requests)) == (STACK_KEY["value"], 1)
        time[0] = 61
        assert key.value() is None


def test_the_table_needs_no_client_before_it_is_used() -> None:
    assert "_client" not in vars(module.AccountTable(TABLE))
