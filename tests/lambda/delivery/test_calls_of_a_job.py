"""How many calls of AWS one job costs, by mode and by how its client waits: real handlers, real boto3, moto's S3."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from fakes import FakeClock, event, response_to
from faults import Fault
from test_handlers import REQUEST, Cloud, clear_caches, module_cloud, sns, success

import aws.store
import handlers
from aws.endpoints import EndpointWatcher
from jobs.ports import Ticket

__all__ = ["module_cloud"]
ROOT = Path(__file__).parents[3]
PRICES = json.loads((ROOT / "stacks/config/prices.json").read_text())["usd_per_million_requests"]
JOB_SECONDS, POLL_SECONDS = 20, 2


class Meter:
    """Counts calls while `on`. S3 refuses to say that an object is missing, as it does to roles of the stacks."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.on = False

    @contextmanager
    def counting(self, on: bool = True) -> Iterator[None]:
        before, self.on = self.on, on
        try:
            yield
        finally:
            self.on = before

    def wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(client: Any, operation: str, arguments: Any) -> Any:
            if self.on:
                self.calls[operation] += 1
            try:
                return call(client, operation, arguments)
            except ClientError as error:
                if self.on and error.response["Error"]["Code"] == "NoSuchKey":
                    response: Any = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
                    raise ClientError(response, operation) from error
                raise

        return counted

    @property
    def row(self) -> dict[str, Any]:
        """Calls of S3 and SageMaker, and what S3 costs for 1,000 such jobs. SageMaker's cost nothing."""
        count = self.calls
        gets, lists = count["GetObject"], count["ListObjectsV2"]
        writes = count["PutObject"] + count["CopyObject"]
        usd = (gets * PRICES["s3_get"] + (writes + lists) * PRICES["s3_put_or_list"]) / 1000
        sagemaker = sum(count[name] for name in ("InvokeEndpoint", "InvokeEndpointAsync", "DescribeEndpoint"))
        return {"GET": gets, "LIST": lists, "PUT": writes, "SageMaker": sagemaker, "USD": round(usd, 3)}


@pytest.fixture
def meter(module_cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Meter:
    meter = Meter()
    monkeypatch.setattr(BaseClient, "_make_api_call", meter.wrap(BaseClient._make_api_call))
    return meter


def run_job(cloud: Cloud, meter: Meter, monkeypatch: pytest.MonkeyPatch, *, mode: str, polls: bool) -> Any:
    """Run a job that takes `JOB_SECONDS`, and return the last response."""
    cloud.reset()
    clock = FakeClock()
    monkeypatch.setattr(handlers, "_CLOCK", clock)
    monkeypatch.setattr(aws.store, "time", SimpleNamespace(monotonic=clock.steady))
    monkeypatch.setattr(EndpointWatcher.__init__, "__defaults__", (clock.steady,))
    monkeypatch.setenv("EASEL_MODE", mode)
    monkeypatch.setenv("EASEL_WAIT_SECONDS", "25")
    clear_caches()
    start, ended = clock.time, list[Ticket]()

    def end_in_time() -> None:
        if clock.time - start >= JOB_SECONDS and not ended:
            with meter.counting(on=False):
                _, owner, id, _ = cloud.keys("jobs/")[0].split("/")
                ended.append(Ticket(owner, id))
            _end(cloud, meter, ended[0], mode)

    clock.while_sleeping = end_in_time
    with meter.counting():
        response = handlers.api(
            event("POST", "/jobs" if polls else "/generate", {"prompt": "a red apple", "seed": 7}), None
        )
        id = json.loads(response["body"])["id"]
        while polls and json.loads(response["body"])["status"] != "succeeded":
            clock.sleep(POLL_SECONDS)
            response = handlers.api(event("GET", f"/jobs/{id}"), None)
    clear_caches()
    return json.loads(response["body"])


def _end(cloud: Cloud, meter: Meter, ticket: Ticket, mode: str) -> None:
    if mode == "realtime":
        cloud.server.fault = Fault(200, body=response_to(REQUEST))
        handlers.runner({"owner": ticket.owner, "id": ticket.id}, None)
        return
    with meter.counting(on=False):
        location = cloud.put("async-output/1.out", response_to(REQUEST))
    handlers.finalizer(sns(success(ticket, location)), None)


CALLS: dict[tuple[str, bool], dict[str, Any]] = {
    ("async", True): {"GET": 44, "LIST": 7, "PUT": 5, "SageMaker": 5, "USD": 0.078},
    ("async", False): {"GET": 131, "LIST": 7, "PUT": 5, "SageMaker": 1, "USD": 0.112},
    ("realtime", True): {"GET": 37, "LIST": 5, "PUT": 6, "SageMaker": 5, "USD": 0.07},
    ("realtime", False): {"GET": 92, "LIST": 5, "PUT": 6, "SageMaker": 1, "USD": 0.092},
}
"""(mode, whether the client polls every 2 s in place of waiting for POST /generate) to what a job of 20 s costs."""


@pytest.mark.parametrize(("mode", "polls"), CALLS)
def test_the_calls_of_a_job_are_counted(
    module_cloud: Cloud, meter: Meter, monkeypatch: pytest.MonkeyPatch, mode: str, polls: bool
) -> None:
    response = run_job(module_cloud, meter, monkeypatch, mode=mode, polls=polls)
    assert response["images"]
    assert meter.row == CALLS[mode, polls], meter.calls
    cells = [str(value) for value in meter.row.values()]
    client = f"polls every {POLL_SECONDS} s" if polls else "waits for `POST /generate`"
    row = f"| {mode} | {client} | {' | '.join(cells)} |"
    assert row in (ROOT / "docs/explanation/costs.md").read_text()
