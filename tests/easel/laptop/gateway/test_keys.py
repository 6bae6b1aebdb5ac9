"""`easel keys` and quotas on a running laptop."""

from __future__ import annotations

import base64
import json
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from easel.cli import app
from easel.console.errors import ENVIRONMENT, USAGE
from tests.easel.running import Laptop, wait_for

pytestmark = pytest.mark.laptop
APPLE = {"prompt": "a red apple"}
FORMS: dict[str, Callable[[str], dict[str, str]]] = {
    "x-api-key": lambda key: {"x-api-key": key},
    "bearer": lambda key: {"authorization": f"Bearer {key}"},
    "basic": lambda key: {"authorization": f"Basic {base64.b64encode(f'any:{key}'.encode()).decode()}"},
}


def keys(data: Path, *arguments: str) -> str:
    """Run `easel keys` with a data folder, and return what it prints."""
    result = refuse(data, *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def refuse(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["keys", *arguments, "--data", str(data)], catch_exceptions=False)


def send(laptop: Laptop, method: str, path: str, headers: Any, body: Any = None) -> httpx.Response:
    """Send a request, and again while all handlers are busy."""

    def attempt() -> httpx.Response | None:
        response = laptop.http.request(method, path, json=body, headers=headers)
        busy = response.status_code == 429 and response.json()["code"] == "too_busy"
        return None if busy else response

    found: httpx.Response = wait_for(attempt)
    return found


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """A service with --key."""
    with Laptop(tmp_path_factory.mktemp("closed"), "--key", "operators") as running:
        yield running


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_a_key_is_the_same_caller(laptop: Laptop, form: str) -> None:
    key = keys(laptop.data, "create", form)
    created = send(laptop, "POST", "/jobs", FORMS[form](key), APPLE).json()["id"]
    for other in FORMS.values():
        listed = send(laptop, "GET", "/jobs", other(key)).json()["jobs"]
        assert [job["id"] for job in listed] == [created]
    assert send(laptop, "GET", f"/jobs/{created}", {}).status_code == 404, "nobody else sees it"


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "anything"}, {"authorization": "Bearer sk-1"},
                                     {"authorization": "Basic Og=="}])  # fmt: skip
def test_without_a_key_option_any_key_works_and_none(laptop: Laptop, headers: dict[str, str]) -> None:
    assert send(laptop, "GET", "/models", headers).status_code == 200


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("key", "status"), [("operators", 200), ("wrong", 401)])
def test_with_a_key_option_it_is_needed_in_any_form(closed: Laptop, form: str, key: str, status: int) -> None:
    response = send(closed, "GET", "/models", FORMS[form](key))
    assert response.status_code == status
    assert response.headers.get("www-authenticate") == (None if status == 200 else 'Bearer realm="Easel"')


def test_clients_of_automatic1111_get_a_challenge_for_a_password(closed: Laptop) -> None:
    response = closed.http.post("/sdapi/v1/txt2img", json={})
    assert (response.status_code, response.headers["www-authenticate"]) == (401, 'Basic realm="Easel"')


def test_a_created_key_works_beside_that_of_the_option(closed: Laptop) -> None:
    key = keys(closed.data, "create", "alice")
    assert send(closed, "GET", "/models", FORMS["bearer"](key)).status_code == 200


def test_a_rotated_or_revoked_key_is_refused_at_once(laptop: Laptop) -> None:
    first = keys(laptop.data, "create", "rotating")
    second = keys(laptop.data, "rotate", "rotating", "--grace-hours", "1")
    assert [send(laptop, "GET", "/usage", FORMS["bearer"](key)).status_code for key in (first, second)] == [200, 200]
    third = keys(laptop.data, "rotate", "rotating")
    assert [send(laptop, "GET", "/usage", FORMS["bearer"](key)).status_code for key in (second, third)] == [401, 200]
    keys(laptop.data, "revoke", "rotating")
    assert send(laptop, "GET", "/usage", FORMS["bearer"](third)).status_code == 401


def test_fifty_requests_at_once_share_ten_images_exactly(laptop: Laptop) -> None:
    """The key has twelve images, two of which are used."""
    key = FORMS["bearer"](keys(laptop.data, "create", "crowd", "--images-a-day", "12"))
    for _ in range(2):
        laptop_job = send(laptop, "POST", "/jobs", key, APPLE).json()
    with ThreadPoolExecutor(50) as pool:
        responses = list(pool.map(lambda _: send(laptop, "POST", "/jobs", key, APPLE), range(50)))
    accepted = [response for response in responses if response.status_code == 202]
    refused = [response for response in responses if response.status_code == 429]
    assert (len(accepted), len(refused)) == (10, 40)
    assert {(item.json()["code"], item.headers["x-should-retry"]) for item in refused} == {("quota_exceeded", "false")}
    ids = [laptop_job["id"], *(response.json()["id"] for response in accepted)]
    wait_for(lambda: all(send(laptop, "GET", f"/jobs/{id}", key).json()["status"] == "succeeded" for id in ids))
    usage = send(laptop, "GET", "/usage", key).json()
    assert (usage["images_today"], usage["images_a_day"], usage["images_reserved"]) == (12, 12, 0)
    (row,) = (row for row in json.loads(keys(laptop.data, "usage", "--json"))["keys"] if row["name"] == "crowd")
    assert (row["images"], row["images_today"], row["reserved"]) == (12, 12, 0)


def test_a_killed_service_counts_each_job_once(tmp_path: Path) -> None:
    with Laptop(tmp_path) as laptop:
        key = FORMS["bearer"](keys(tmp_path, "create", "alice", "--images-a-day", "2"))
        created = [send(laptop, "POST", "/jobs", key, {"prompt": "slow 0.5"}).json()["id"] for _ in range(2)]
        laptop.stop(signal.SIGKILL)
        laptop.__enter__()
        wait_for(lambda: all(laptop.http.get(f"/jobs/{id}", headers=key).json()["status"] == "succeeded"
                             for id in created))  # fmt: skip
        usage = laptop.http.get("/usage", headers=key).json()
        assert (usage["images_today"], usage["images_reserved"]) == (2, 0)
        assert laptop.http.post("/jobs", json=APPLE, headers=key).status_code == 429


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path


def test_the_text_of_a_key_is_shown_once_and_stored_nowhere(folder: Path) -> None:
    text = keys(folder, "create", "alice", "--days", "30", "--images-a-day", "5", "--gpu-seconds-a-month", "60")
    assert text.startswith("easel_")
    assert "\n" not in text
    (row,) = json.loads(keys(folder, "list", "--json"))["keys"]
    assert (row["name"], row["state"], row["images_a_day"], row["gpu_seconds_a_month"]) == ("alice", "active", 5, 60)
    stored = "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    assert text.rpartition("_")[2] not in stored + keys(folder, "list")
    assert oct((folder / "accounts" / f"{row['id']}.json").stat().st_mode & 0o777) == "0o600"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", "alice"), "taken"),
        (("create", " alice"), "not valid"),
        (("create", "a" * 41), "not valid"),
        (("create", ""), "not valid"),
        (("revoke", "bob"), "no such"),
        (("rotate", "bob"), "no such"),
    ],
)
def test_what_cannot_be_done_is_refused(folder: Path, arguments: tuple[str, ...], words: str) -> None:
    keys(folder, "create", "alice")
    refused = refuse(folder, *arguments)
    assert (refused.exit_code, words in refused.stderr) == (USAGE, True)


def test_a_revoked_name_can_be_used_again(folder: Path) -> None:
    keys(folder, "create", "alice")
    keys(folder, "revoke", "alice")
    keys(folder, "create", "alice")
    assert sorted(row["state"] for row in json.loads(keys(folder, "list", "--json"))["keys"]) == ["active", "revoked"]


def test_a_folder_that_easel_has_not_used_is_refused(tmp_path: Path) -> None:
    refused = refuse(tmp_path / "none", "list")
    assert (refused.exit_code, "easel up --data" in refused.stderr) == (ENVIRONMENT, True)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [(option, value, low <= value <= high)
     for option, low, high in (("--days", 1, 3650), ("--images-a-day", 1, 1_000_000),
                               ("--gpu-seconds-a-month", 1, 10_000_000))
     for value in (low - 1, low, high, high + 1)],
)  # fmt: skip
def test_the_options_have_ranges(folder: Path, option: str, value: int, allowed: bool) -> None:
    result = CliRunner().invoke(app, ["keys", "create", "x", option, str(value), "--data", str(folder)])
    assert (result.exit_code == 0) is allowed, result.output
