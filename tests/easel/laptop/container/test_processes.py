"""Several processes of one model, for jobs that wait side by side."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from easel.laptop.api_handler import make_handler
from easel.laptop.clock import InterruptibleClock
from easel.laptop.container import models as module
from easel.laptop.container import served_model
from easel.laptop.container.client import ContainerClient
from easel.laptop.container.memory import Memory
from easel.laptop.endpoint import LaptopEndpoint
from jobs.ports import Ticket
from tests.easel.laptop.container.test_models import COPY, Service
from tests.easel.running import MODEL

CORES = 3


class Processes(Service):
    """A model that uses one thread, on a machine of three cores, and a copy of it."""

    def __init__(self, folder: Path, memory: Memory | None = None) -> None:
        super().__init__(folder, memory or Memory())
        self.model, self.copy = self.served
        self.folder = folder

    def file(self, name: str) -> Path:
        return self.folder / name

    def submit_until(self, *names: str, model: str = MODEL) -> list[Ticket]:
        """Submit jobs that each run until there is a file of that name, and return their tickets."""
        for name in names:
            self.submit(f"until {self.file(name)}", model)
        return [ticket for ticket, _ in self.data.queue.waiting()][-len(names) :]

    def running(self) -> list[Ticket]:
        return [process.ticket for model in self.served for process in model.processes if process.ticket]

    async def until_runs(self, *tickets: Ticket) -> None:
        await self.until(lambda: set(self.running()) == set(tickets))

    async def finish(self, *names: str) -> None:
        for name in names:
            self.file(name).touch()
        await self.until(lambda: not self.waiting())

    def outcome(self, ticket: Ticket) -> dict[str, Any]:
        outcome: dict[str, Any] = json.loads(self.data.store().read(ticket.key("outcome.json")) or b"{}")
        return outcome


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_ONE_THREAD", "1")
    monkeypatch.setattr(served_model, "cores", lambda: CORES)


def alive(service: Processes) -> list[int]:
    return [sum(process.alive for process in model.processes) for model in service.served]


def test_as_many_jobs_run_as_there_are_cores(tmp_path: Path) -> None:
    service = Processes(tmp_path)

    async def work() -> None:
        tickets = service.submit_until("a", "b", "c", "d")
        await service.until_runs(*tickets[:CORES])
        await asyncio.sleep(2 * module.WATCH_SECONDS)
        assert service.running() == tickets[:CORES]
        service.file("b").touch()
        await service.until_runs(tickets[0], tickets[2], tickets[3])
        await service.finish("a", "c", "d")
        assert [service.outcome(ticket)["status"] for ticket in tickets] == ["succeeded"] * 4
        assert alive(service) == [CORES, 0]

    service.run(work)


def test_no_more_processes_than_the_maximum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served_model, "cores", lambda: 64)
    monkeypatch.setattr(served_model, "MAX_PROCESSES", 2)
    service = Processes(tmp_path)

    async def work() -> None:
        tickets = service.submit_until("a", "b", "c")
        await service.until_runs(*tickets[:2])
        await asyncio.sleep(2 * module.WATCH_SECONDS)
        assert alive(service) == [2, 0]
        await service.finish("a", "b", "c")

    service.run(work)


def test_a_response_that_a_busy_machine_delays_costs_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    get, late = ContainerClient._get, [True, False]  # the second response is late

    def get_late(client: ContainerClient, path: str) -> tuple[int | None, bytes]:
        status, body = get(client, path)
        return (None, b"") if status and late and late.pop() else (status, body)

    monkeypatch.setattr(ContainerClient, "_get", get_late)
    service = Processes(tmp_path)

    async def work() -> None:
        await service.until_runs(*service.submit_until("a", "b"))
        await service.finish("a", "b")

    service.run(work)
    assert not late


@pytest.mark.parametrize("why", ["threads", "memory", "cores"])
def test_jobs_run_one_by_one_where_a_second_process_gains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    if why == "threads":
        monkeypatch.delenv("FAKE_ONE_THREAD")
    if why == "cores":
        monkeypatch.setattr(served_model, "cores", lambda: 1)
    service = Processes(tmp_path, Memory(1) if why == "memory" else None)

    async def work() -> None:
        tickets = service.submit_until("a", "b")
        await service.until_runs(tickets[0])
        await asyncio.sleep(2 * module.WATCH_SECONDS)
        assert (service.running(), alive(service)) == ([tickets[0]], [1, 0])
        await service.finish("a", "b")

    service.run(work)


def test_a_job_of_another_model_keeps_its_place(tmp_path: Path) -> None:
    service = Processes(tmp_path)

    async def work() -> None:
        first = service.submit_until("a", "b")
        await service.until_runs(*first)
        (other,) = service.submit_until("c", model=COPY)
        (last,) = service.submit_until("d")
        service.file("a").touch()
        await service.until_runs(first[1])
        await asyncio.sleep(2 * module.WATCH_SECONDS)
        assert service.running() == [first[1]], "the younger job does not overtake that of the other model"
        service.file("b").touch()
        await service.until(lambda: service.copy.loaded or last in service.running())
        service.file("d").touch()
        await service.until_runs(other)
        await service.finish("c")

    service.run(work)


def test_progress_and_cancellation_reach_the_process_of_the_job(tmp_path: Path) -> None:
    service = Processes(tmp_path)
    handler = make_handler(service.data, service.served, InterruptibleClock(), service.dispatcher.notify)

    async def call(method: str, ticket: Ticket) -> Any:
        event: dict[str, Any] = {"httpMethod": method, "path": f"/jobs/{ticket.id}", "headers": {}, "body": None}
        event["requestContext"] = {"authorizer": {"owner": ticket.owner}}
        response = await asyncio.to_thread(handler, event)
        assert response["statusCode"] < 300, response
        return json.loads(response["body"])

    async def work() -> None:
        tickets = service.submit_until("a", "b")
        await service.until_runs(*tickets)
        for ticket in tickets:
            while "progress" not in (job := await call("GET", ticket)):
                await asyncio.sleep(0.02)
            assert (job["status"], job["progress"]["steps"]) == ("running", 10)
        await call("DELETE", tickets[1])
        await service.until_runs(tickets[0])
        assert service.outcome(tickets[1])["status"] == "cancelled"
        await service.finish("a")
        assert service.outcome(tickets[0])["status"] == "succeeded"
        assert alive(service) == [2, 0], "a cancelled job costs no process"

    service.run(work)


@pytest.mark.parametrize("position", [0, 1])
def test_a_process_that_dies_takes_no_other_job_with_it(tmp_path: Path, position: int) -> None:
    service = Processes(tmp_path)

    async def work() -> None:
        tickets = service.submit_until("a", "b")
        await service.until_runs(*tickets)
        await service.model.processes[position].kill()
        died, other = tickets[position], tickets[1 - position]
        await service.until_runs(other)
        assert service.model.loaded
        service.file("ab"[1 - position]).touch()
        await service.until_runs(died)
        await service.finish("ab"[position])
        assert [service.outcome(ticket)["status"] for ticket in tickets] == ["succeeded"] * 2
        assert alive(service) == [1, 0], "the next one follows after a pause"

    service.run(work)


def test_a_further_process_that_does_not_start_fails_no_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    service = Processes(tmp_path)

    def warnings() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == module.__name__]

    async def work() -> None:
        await service.until(lambda: service.model.loaded)
        monkeypatch.setenv("FAKE_BROKEN", MODEL)
        tickets = service.submit_until("a", "b")
        await service.until(warnings)
        await service.finish("a", "b")
        assert [service.outcome(ticket)["status"] for ticket in tickets] == ["succeeded"] * 2
        assert (alive(service), service.model.failures) == ([1, 0], 0)

    service.run(work)
    assert warnings() == [f"a further process of {MODEL} does not start: broken on purpose"]


@pytest.mark.parametrize("why", ["another model", "death", "memory"])
def test_a_further_process_that_does_not_become_ready_delays_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, why: str
) -> None:
    service = Processes(tmp_path)

    async def work() -> None:
        await service.until(lambda: service.model.loaded)
        monkeypatch.setenv("FAKE_LOAD_SECONDS", "1000")
        service.submit_until("a", "b")
        await service.until(lambda: alive(service) == [2, 0])
        if why == "another model":
            service.submit_until("c", model=COPY)
        if why == "death":
            await service.model.processes[0].kill()
            await service.until(lambda: service.model.loaded)
        if why == "memory":
            service.models.memory = Memory(1)
            await service.until(lambda: alive(service) == [1, 0])
        await service.finish("a", "b", "c")
        assert alive(service) == [1, int(why == "another model")]

    service.run(work)
    assert [record for record in caplog.records if record.name == module.__name__] == []


def test_spare_processes_leave_first_when_memory_becomes_short(tmp_path: Path) -> None:
    service = Processes(tmp_path)

    async def work() -> None:
        tickets = service.submit_until("a", "b")
        await service.until_runs(*tickets)
        service.file("b").touch()
        await service.until_runs(tickets[0])
        service.models.memory = Memory(1)
        await service.until(lambda: alive(service) == [1, 0])
        assert service.running() == [tickets[0]]
        await service.finish("a")
        await asyncio.sleep(2 * module.WATCH_SECONDS)
        assert service.model.loaded, "the last process stays"

    service.run(work)


def test_spare_processes_leave_for_another_model(tmp_path: Path) -> None:
    service = Processes(tmp_path)

    async def work() -> None:
        service.submit("a bus", COPY)
        await service.until(lambda: not service.waiting())
        await service.copy.stop()
        await service.until_runs(*service.submit_until("a", "b"))
        await service.finish("a", "b")
        assert alive(service) == [2, 0]
        room = service.model.needed + service.copy.needed
        service.models.memory = Memory(room + room // 4)
        service.submit("a bus", COPY)
        await service.until(lambda: not service.waiting())
        assert alive(service) == [1, 1]

    service.run(work)


def test_spare_processes_leave_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Processes(tmp_path)

    async def work() -> None:
        await service.until_runs(*service.submit_until("a", "b"))
        await service.finish("a", "b")
        await asyncio.sleep(2 * module.WATCH_SECONDS)
        assert alive(service) == [2, 0]
        monkeypatch.setattr(module, "SPARE_SECONDS", 0.0)
        await service.until(lambda: alive(service) == [1, 0])
        await asyncio.sleep(2 * module.WATCH_SECONDS)
        assert service.model.loaded

    service.run(work)


@pytest.mark.parametrize("leaves", ["spare", "model"])
def test_a_process_that_leaves_takes_no_job_from_the_first_moment_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leaves: str
) -> None:
    """The jobs arrive after the decision that a process leaves, and before its end has begun."""
    service = Processes(tmp_path)
    monkeypatch.setattr(module, "WATCH_SECONDS", 600.0)  # the test itself frees the memory

    async def work() -> None:
        await service.until_runs(*service.submit_until("a", "b"))
        await service.finish("a", "b")
        if leaves == "spare":
            monkeypatch.setattr(module, "SPARE_SECONDS", 0.0)
        else:
            service.submit("a bus", COPY)
            await service.until(lambda: not service.waiting())
            await service.model.spare_processes[0].stop()
            service.models.memory = Memory(1)
        freeing = asyncio.create_task(service.models._free_memory())
        service.submit_until("c", "d")
        await freeing
        service.models.memory = Memory()
        await service.finish("c", "d")
        assert not service.model.next_process, "no process died during a job"

    service.run(work)


def test_the_expected_time_is_that_of_jobs_side_by_side(tmp_path: Path) -> None:
    service = Processes(tmp_path)

    async def work() -> None:
        tickets = service.submit_until("a", "b")
        await service.until_runs(*tickets)
        service.model.job_seconds = 30.0
        endpoint = LaptopEndpoint(service.data.queue, service.model, service.served, lambda: None)
        assert endpoint.state().busy_seconds == 30
        await service.finish("a", "b")

    service.run(work)


def test_two_processes_are_ready_for_the_next_jobs(tmp_path: Path) -> None:
    service = Processes(tmp_path)

    async def work() -> None:
        await service.until_runs(*service.submit_until("a", "b"))
        await service.finish("a", "b")
        processes = service.model.processes
        await service.until_runs(*service.submit_until("c", "d"))
        assert {process for process in service.model.processes if process.ticket} == set(processes)
        await service.finish("c", "d")

    service.run(work)
