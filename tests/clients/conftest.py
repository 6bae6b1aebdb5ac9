"""Fixtures of the client tests: the targets, and the clients' programs."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest
from PIL import Image

from easel.laptop.storage.queue import MAX_QUEUED
from tests.clients import environments
from tests.clients.function import Function
from tests.easel.running import Laptop, wait_for

QUIET = {
    "DO_NOT_TRACK": "1",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "NO_PROXY": "127.0.0.1",
    "PYTHONWARNINGS": "ignore",
}
"""Variables that keep clients from calling home."""
BUSY = re.compile(f"(AWS accepts no more calls|{MAX_QUEUED} jobs are waiting)", re.IGNORECASE)
"""What the targets say when they are busy."""


class Target(Protocol):
    """An Easel. `name`: `laptop` or `function`."""

    name: str
    url: str
    key: str

    def requests(self) -> list[dict[str, Any]]:
        """Return the requests that the model got since the last call."""


@dataclass
class LaptopTarget:
    laptop: Laptop
    journal: Path
    name: str = "laptop"
    key: str = "local"
    seen: int = 0

    @property
    def url(self) -> str:
        return self.laptop.url

    def fill(self) -> None:
        """Fill the queue. Its jobs end at their deadline."""
        http, job = self.laptop.http, {"prompt": "slow 900"}
        assert any(http.post("/jobs", json=job).status_code == 429 for _ in range(MAX_QUEUED + 2))
        wait_for(self.journal.exists)

    def requests(self) -> list[dict[str, Any]]:
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        new, self.seen = lines[self.seen :], len(lines)
        return [json.loads(line) for line in new]


@dataclass
class Result:
    """What a program returned."""

    value: dict[str, Any]
    files: list[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.files = [base64.b64decode(text) for text in self.value.get("images", ())]

    @property
    def error(self) -> str | None:
        """The message that a user sees, or None."""
        return self.value.get("error")

    def image(self) -> Image.Image:
        """Return the only image, decoded."""
        assert not self.error, self.error
        (file,) = self.files
        image = Image.open(io.BytesIO(file))
        image.load()
        return image


class Client:
    """A client's program."""

    def __init__(self, command: list[str], folder: Path) -> None:
        environment = {**os.environ, **QUIET, "HOME": str(folder)}
        environment.pop("PYTHONPATH", None)
        self._log = (folder / "log").open("w")
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self._read()

    def call(self, target: Target, action: str, **fields: Any) -> Result:
        assert self._process.stdin
        call = {"url": target.url, "key": target.key, "action": action} | fields
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()
        return Result(self._read())

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, Path(self._log.name).read_text()
        value: dict[str, Any] = json.loads(line)
        return value

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()
        self._log.close()


Clients = Callable[[str], Client]


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    """Returns the program of a client; it is started once."""
    running: dict[str, Client] = {}

    def start(name: str) -> Client:
        if name not in running:
            running[name] = Client(environments.command(name), tmp_path_factory.mktemp(name))
        return running[name]

    yield start
    for program in running.values():
        program.close()


@pytest.fixture(scope="session")
def laptop_target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaptopTarget]:
    journal = tmp_path_factory.mktemp("requests") / "journal"
    with Laptop(tmp_path_factory.mktemp("laptop"), FAKE_REQUESTS=str(journal)) as running:
        yield LaptopTarget(running, journal)


@pytest.fixture(scope="session")
def function_target() -> Iterator[Function]:
    with Function() as running:
        yield running


@pytest.fixture(scope="session")
def full_laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaptopTarget]:
    """A laptop that requires a key."""
    journal, key = tmp_path_factory.mktemp("requests") / "journal", "laptop-key"
    with Laptop(tmp_path_factory.mktemp("full"), "--key", key, FAKE_REQUESTS=str(journal)) as running:
        running.http.headers["x-api-key"] = key
        yield LaptopTarget(running, journal, key=key)


@pytest.fixture(params=["full_laptop", "function_target"])
def full_target(request: pytest.FixtureRequest) -> Target:
    """Each of the targets with a key, and without room for the prompt `busy`."""
    found: Target = request.getfixturevalue(request.param)
    if isinstance(found, LaptopTarget):
        found.fill()
    found.requests()
    return found


@pytest.fixture(params=["laptop", "function"])
def target(request: pytest.FixtureRequest) -> Target:
    """Each of the targets, with no request that was not looked at."""
    found: Target = request.getfixturevalue(f"{request.param}_target")
    found.requests()
    return found
