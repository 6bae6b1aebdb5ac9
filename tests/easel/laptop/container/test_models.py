"""Several models on one machine: loading on first use, leaving when memory is short, and whose turn it is."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import psutil
import pytest
from safetensors.numpy import load_file, save_file

from easel.client import BadRequestError, Easel
from easel.console.errors import ENVIRONMENT, CommandError
from easel.laptop import up
from easel.laptop.api_handler import make_handler
from easel.laptop.catalogue import find
from easel.laptop.clock import InterruptibleClock
from easel.laptop.container import models as module
from easel.laptop.container import served_model
from easel.laptop.container.memory import LIBRARIES_BYTES, Memory
from easel.laptop.container.models import Models
from easel.laptop.container.served_model import MAX_FAILED_STARTS, ServedModel, expected_bytes
from easel.laptop.dispatcher import Dispatcher
from easel.laptop.settings import Settings
from easel.laptop.storage.data_folder import DataFolder
from tests.easel.laptop.test_up import start_error
from tests.easel.running import EASEL, FAKE, MODEL, ROOT, Laptop, wait_for

COPY = "copy"
"""Id of a second model with the same files."""
ROOM_FOR_ONE = Memory(1)


def copy_of_model(folder: Path, id: str = COPY) -> str:
    """Write an entry with the files of the embedded model, and return its path."""
    entry = json.loads((ROOT / f"models/{MODEL}.json").read_text())
    source = {"kind": "folder", "path": str(ROOT / "models" / MODEL)}
    (folder / f"{id}.json").write_text(json.dumps(entry | {"id": id, "source": source}))
    return str(folder / id)


class TwoModels(Laptop):
    """A service with the embedded model and a copy. Both have their memory measured after their first job."""

    def __init__(self, folder: Path, *options: str, **variables: str) -> None:
        journal = str(folder / "journal")
        super().__init__(
            folder / "data",
            "--model",
            MODEL,
            "--model",
            copy_of_model(folder),
            *options,
            **{"FAKE_JOURNAL": journal, **variables},
        )

    def states(self) -> dict[str, str]:
        return {model["id"]: model["state"]["status"] for model in self.http.get("/models").json()["models"]}

    def containers(self) -> int:
        return len(self.container_processes())


def test_a_model_is_loaded_by_its_first_job(tmp_path: Path) -> None:
    with TwoModels(tmp_path, FAKE_LOAD_SECONDS="2") as laptop:
        assert f"{COPY} (Emoji): loaded by its first job" in laptop.output
        assert laptop.states() == {MODEL: "ready", COPY: "asleep"}
        id = laptop.submit(model=COPY)
        messages = set()

        def ended() -> bool:
            messages.add(laptop.job(id)["message"])
            return bool(laptop.job(id)["status"] == "succeeded")

        wait_for(ended)
        assert any(message.startswith("The model is loading: about ") for message in messages)
        assert laptop.states() == {MODEL: "ready", COPY: "ready"}
        assert laptop.containers() == 2


@pytest.mark.laptop
def test_the_expected_time_counts_each_job_as_one_of_its_model(tmp_path: Path) -> None:
    with TwoModels(tmp_path) as laptop:
        laptop.outcome(laptop.submit("slow 2", model=COPY))
        laptop.outcome(laptop.submit())
        running, waiting = laptop.submit("slow 60", model=COPY), laptop.submit()
        wait_for(lambda: laptop.job(running)["status"] == "running")
        found = re.search(r" take about (\d+) s ", laptop.job(waiting)["message"])
        assert found and int(found[1]) > 2
        for id in (waiting, running):
            laptop.http.delete(f"/jobs/{id}")


@pytest.mark.laptop
def test_the_command_line_and_the_python_client_choose_a_model(tmp_path: Path) -> None:
    with TwoModels(tmp_path) as laptop:
        command = [*EASEL, "generate", "a bus", "--model", COPY, "--url", laptop.url, "-o", str(tmp_path / "out")]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        with Easel(laptop.url) as easel:
            assert [(model.id, model.state and model.state.status) for model in easel.models()] == [
                (MODEL, "ready"),
                (COPY, "ready"),
            ]
            assert easel.generate("a bus", model=COPY).parameters["model"] == COPY
            with pytest.raises(BadRequestError) as caught:
                easel.generate("a bus", model="nope")
            assert (caught.value.code, caught.value.param) == ("unknown_value", "model")
        assert [job["model"] for job in laptop.http.get("/jobs").json()["jobs"]] == [COPY, COPY]


@pytest.mark.laptop
def test_the_least_recently_used_model_leaves_when_memory_is_short(tmp_path: Path) -> None:
    with TwoModels(tmp_path, "--memory", "0.2", FAKE_MEGABYTES="120") as laptop:
        for model, other in ((COPY, MODEL), (MODEL, COPY), (COPY, MODEL)):
            assert laptop.outcome(laptop.submit(model=model))["status"] == "succeeded"
            assert laptop.states() == {model: "ready", other: "asleep"}
            assert laptop.containers() == 1


@pytest.mark.laptop
def test_models_that_fit_into_the_memory_stay(tmp_path: Path) -> None:
    with TwoModels(tmp_path, "--memory", "8", FAKE_MEGABYTES="120") as laptop:
        for model in (COPY, MODEL, COPY):
            assert laptop.outcome(laptop.submit(model=model))["status"] == "succeeded"
        assert laptop.states() == {MODEL: "ready", COPY: "ready"}


@pytest.mark.laptop
def test_a_model_that_starts_only_alone_gets_the_memory_for_itself(tmp_path: Path) -> None:
    """As on a GPU whose memory is full, which is not measured."""
    with TwoModels(tmp_path, FAKE_GPU=str(tmp_path / "gpu")) as laptop:
        for model, other in ((COPY, MODEL), (MODEL, COPY), (COPY, MODEL)):
            assert laptop.outcome(laptop.submit(model=model))["status"] == "succeeded"
            assert laptop.states() == {model: "ready", other: "asleep"}


@pytest.mark.laptop
def test_a_model_that_does_not_start_stops_no_other(tmp_path: Path) -> None:
    with TwoModels(tmp_path, FAKE_BROKEN=COPY) as laptop:
        broken, other = laptop.submit(model=COPY), laptop.submit()
        job = laptop.outcome(broken)
        assert (job["status"], job["error"]["code"]) == ("failed", "model_error")
        assert "broken on purpose" in job["error"]["message"]
        assert str(laptop.data / f"model-{COPY}.log") in job["error"]["hint"]
        assert laptop.outcome(other)["status"] == "succeeded"
        assert laptop.states() == {MODEL: "ready", COPY: "broken"}
        assert laptop.outcome(laptop.submit(model=COPY))["error"]["code"] == "model_error"
        assert laptop.process.poll() is None


@pytest.mark.laptop
def test_a_first_model_that_does_not_start_leaves_the_others(tmp_path: Path) -> None:
    with TwoModels(tmp_path, FAKE_BROKEN=MODEL) as laptop:
        assert f"{MODEL} (Emoji): it does not start: broken on purpose" in laptop.output
        assert laptop.states() == {MODEL: "broken", COPY: "ready"}
        assert laptop.outcome(laptop.submit(model=COPY))["status"] == "succeeded"
        assert laptop.outcome(laptop.submit())["error"]["code"] == "model_error"


@pytest.mark.laptop
def test_a_model_that_dies_with_its_job_stops_no_other(tmp_path: Path) -> None:
    with TwoModels(tmp_path) as laptop:
        killer, other = laptop.submit("die now", model=COPY), laptop.submit()
        assert laptop.outcome(killer)["error"]["code"] == "container_died"
        assert laptop.outcome(other)["status"] == "succeeded"


@pytest.mark.laptop
def test_jobs_of_a_model_that_is_no_longer_served_fail_after_a_restart(tmp_path: Path) -> None:
    with TwoModels(tmp_path) as laptop:
        ids = [laptop.submit("slow 60"), laptop.submit(model=COPY)]
        wait_for(lambda: laptop.job(ids[0])["status"] == "running")
        laptop.stop(signal.SIGKILL)
    with Laptop(tmp_path / "data") as laptop:
        job = laptop.outcome(ids[1])
        assert (job["status"], job["error"]["code"]) == ("failed", "endpoint_missing")
        laptop.http.delete(f"/jobs/{ids[0]}")
        wait_for(lambda: not list((laptop.data / "queue").iterdir()))


# --- real models ---------------------------------------------------------------------------------


def other_model(folder: Path) -> str:
    """Write a model that generates other images than the embedded one, and return the path of its entry."""
    shutil.copytree(ROOT / "models" / MODEL, folder / COPY)
    unet = folder / COPY / "unet/diffusion_pytorch_model.safetensors"
    weights = load_file(unet)
    weights["conv_out.weight"] = weights["conv_out.weight"] * 0.9
    save_file(weights, unet, {"format": "pt"})
    path = copy_of_model(folder)
    entry = json.loads(Path(f"{path}.json").read_text())
    Path(f"{path}.json").write_text(json.dumps(entry | {"source": {"kind": "folder", "path": COPY}}))
    return path


@pytest.mark.laptop
def test_two_real_models_in_the_memory_of_one(tmp_path: Path) -> None:
    options = ("--model", MODEL, "--model", other_model(tmp_path), "--memory", "0.6")
    images: dict[str, bytes] = {}
    with Laptop(tmp_path / "data", *options, container="easel.laptop.container.server") as laptop:
        for model in (MODEL, COPY):
            job = laptop.outcome(laptop.submit(seed=7, num_inference_steps=4, model=model), 120)
            assert (job["status"], job["model"], job["parameters"]["model"]) == ("succeeded", model, model)
            images[model] = laptop.http.get(job["images"][0]["url"]).content
            assert len(laptop.container_processes()) == 1
    assert images[MODEL] != images[COPY]


# --- refusals before the start -------------------------------------------------------------------


def test_a_model_named_twice(laptop: Laptop, tmp_path: Path) -> None:
    port = ("--port", str(laptop.port))
    for again in (MODEL, copy_of_model(tmp_path, MODEL)):
        code, output = start_error("--model", MODEL, "--model", again, *port, data=tmp_path / "data")
        assert (code, "A model is named twice" in output, again in output.replace("\n", "")) == (2, True, True)


@pytest.mark.parametrize(("id", "code"), [("nope", 2), ("z-image-turbo", 3)])
def test_a_second_model_that_cannot_run(laptop: Laptop, tmp_path: Path, id: str, code: int) -> None:
    assert start_error("--model", MODEL, "--model", id, "--port", str(laptop.port), data=tmp_path)[0] == code


# --- turns ---------------------------------------------------------------------------------------


class Service:
    """Models with fake containers, a queue and a dispatcher in this process. By default there is room for one model."""

    def __init__(self, folder: Path, memory: Memory = ROOM_FOR_ONE) -> None:
        entries = [find(MODEL), find(copy_of_model(folder))]
        self.data = DataFolder(folder / "data")
        self.served = [ServedModel(FAKE, entry, folder / f"{entry.model.id}.log") for entry in entries]
        self.models = Models(self.served, memory)
        clock = InterruptibleClock()
        self.dispatcher = Dispatcher(
            queue=self.data.queue, store=self.data.store(), models=self.models, clock=clock,
            ledger=self.data.accounts, on_end=lambda: None,
        )  # fmt: skip
        self._handler = make_handler(self.data, self.served, clock, self.dispatcher.notify)

    def submit(self, prompt: str, model: str = MODEL) -> None:
        body = json.dumps({"prompt": prompt, "model": model})
        event = {"httpMethod": "POST", "path": "/jobs", "headers": {"content-type": "application/json"}, "body": body}
        event["requestContext"] = {"authorizer": {"owner": "0" * 16}}
        assert self._handler(event)["statusCode"] == 202

    def run(self, work: Callable[[], Coroutine[Any, Any, None]], seconds: float = 120) -> None:
        """Run the dispatcher until `work` has ended."""

        async def main() -> None:
            tasks = [asyncio.create_task(self.dispatcher.run()), asyncio.create_task(self.models.watch())]
            try:
                async with asyncio.timeout(seconds):
                    await work()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await self.models.stop()

        asyncio.run(main())

    async def until(self, condition: Callable[[], Any]) -> None:
        while not condition():
            await asyncio.sleep(0.02)

    def waiting(self) -> list[str]:
        return [model for _, model in self.data.queue.waiting()]


def test_the_model_of_an_older_job_gets_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of the loaded model keep coming. The other model's job runs after a turn all the same."""
    monkeypatch.setattr(module, "TURN_SECONDS", 3.0)
    service = Service(tmp_path)

    async def work() -> None:
        service.submit("slow 0.1")
        await service.until(lambda: not service.waiting())
        service.submit("a bus", COPY)
        service.submit("slow 0.1")
        began, younger = time.monotonic(), 0
        while COPY in service.waiting():
            if service.waiting().count(MODEL) < 2:
                service.submit("slow 0.1")
                younger += 1
            await asyncio.sleep(0.02)
        assert younger >= 3, "the loaded model works on until then"
        assert 3 <= time.monotonic() - began < 60
        await service.until(lambda: not service.waiting())

    service.run(work)


def test_without_jobs_a_model_leaves_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TURN_SECONDS", 200.0)
    service = Service(tmp_path)

    async def work() -> None:
        await service.until(lambda: service.served[0].loaded)
        began = time.monotonic()
        service.submit("a bus", COPY)
        await service.until(lambda: not service.waiting())
        assert time.monotonic() - began < module.TURN_SECONDS / 2

    service.run(work)


def test_a_cancelled_job_loads_nothing(tmp_path: Path) -> None:
    service = Service(tmp_path)

    async def work() -> None:
        service.submit("a bus", COPY)
        ((ticket, _),) = service.data.queue.waiting()
        service.data.store().write(ticket.key("outcome.json"), b'{"status": "cancelled", "completed_at": 1}')
        await service.until(lambda: not service.waiting())
        await service.until(lambda: service.served[0].loaded)
        assert not service.served[1].in_memory

    service.run(work)


def test_a_stop_at_the_moment_of_a_change_is_not_lost(tmp_path: Path) -> None:
    service = Service(tmp_path)

    async def work() -> None:
        task = asyncio.create_task(service.dispatcher.run())
        await service.until(lambda: service.served[0].loaded)
        await asyncio.sleep(0.1)
        service.dispatcher.notify()
        task.cancel()
        await asyncio.wait([task], timeout=60)
        assert task.cancelled()

    service.run(work)


def test_a_system_that_refuses_processes_for_a_moment_ends_no_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    errors = [OSError(errno.EAGAIN, "no processes left")] * 3
    start = asyncio.create_subprocess_exec

    async def refuse(*arguments: Any, **options: Any) -> Any:
        if errors:
            raise errors.pop()
        return await start(*arguments, **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refuse)
    service = Service(tmp_path)

    async def work() -> None:
        service.submit("a bus")
        (ticket, _) = service.data.queue.waiting()[0]
        await service.until(lambda: not service.waiting())
        outcome = service.data.store().read(ticket.key("outcome.json"))
        assert outcome and json.loads(outcome)["status"] == "succeeded"

    service.run(work)
    assert [record.name for record in caplog.records if record.levelname == "ERROR"] == [module.__name__]


# --- memory --------------------------------------------------------------------------------------


def test_the_room_is_the_limit_or_what_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: machine)
    assert Memory(10**6).room(0) == Memory(10**6).most == 10**6
    assert Memory(10**15).most == Memory().most == machine.total
    assert Memory().room(10**9) - Memory().room(0) == 10**9
    assert Memory().room(0) < machine.total


def test_the_least_recently_used_model_leaves_when_memory_becomes_short(tmp_path: Path) -> None:
    service = Service(tmp_path, Memory())

    async def work() -> None:
        for model in (COPY, MODEL):
            service.submit("a bus", model)
            await service.until(lambda: not service.waiting())
        assert all(model.loaded for model in service.served)
        service.models.memory = Memory(1)
        await service.until(lambda: not service.served[1].in_memory)
        await asyncio.sleep(2 * module.WATCH_SECONDS)
        assert service.served[0].loaded, "the last model stays"

    service.run(work)


def test_no_file_can_be_opened() -> None:
    """The tests of `no_more_files.py` run in a process of their own, since other tests' threads open files too."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    program = Path(__file__).with_name("no_more_files.py")
    command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", str(program)]
    result = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_expected_memory_is_measured_after_the_first_job(tmp_path: Path) -> None:
    service = Service(tmp_path)
    model, entry = service.served[0], find(MODEL)
    assert model.needed == expected_bytes(entry) <= entry.model.host_memory_gib * 2**30

    async def work() -> None:
        service.submit("a bus")
        await service.until(lambda: not service.waiting())
        assert 10**7 < model.needed == model.resident < expected_bytes(entry)

    service.run(work)


def test_the_progress_of_loading_does_not_go_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process frees memory while it loads, and a machine that is short of memory takes some away."""
    entry = find(MODEL)
    model, all_bytes = ServedModel("fake", entry, tmp_path / "log"), entry.weights_bytes + LIBRARIES_BYTES
    seen = []
    for loading, share in ((True, 0.65), (True, 0.4), (True, 0.85), (False, 0.85), (True, 0.25)):
        model.loading = loading
        monkeypatch.setattr(served_model, "resident_bytes", lambda _, share=share: int(share * all_bytes))
        model.measure()
        seen += [model.state().detail] if loading else []
    assert seen == [f"The model is loading: about {percent} %." for percent in (60, 60, 80, 20)]


@pytest.mark.parametrize("spare", [-1, 0])
def test_a_model_that_can_never_fit_is_refused(monkeypatch: pytest.MonkeyPatch, spare: int) -> None:
    monkeypatch.setattr(up, "has_gpu_memory", lambda: False)
    memory = find(MODEL).weights_bytes + spare
    settings = Settings(
        host="127.0.0.1", port=1, models=(MODEL,), data=Path("data"), key=None, container=FAKE, memory=memory
    )
    if spare == 0:
        assert [entry.model.id for entry in up.find_models(settings)] == [MODEL]
        return
    with pytest.raises(CommandError) as caught:
        up.find_models(settings)
    assert (caught.value.code, MODEL in caught.value.what) == (ENVIRONMENT, True)


@pytest.mark.parametrize(
    ("message", "hint", "reason"),
    [
        ("the VAE is damaged", "", "the VAE is damaged"),
        ("the VAE is damaged", "Save it again.", "the VAE is damaged. Save it again"),
        ("OSError: No file.", "Save it again.", "OSError: No file. Save it again"),
    ],
)
def test_the_log_of_a_failed_start_ends_with_the_reason_and_what_to_do(
    tmp_path: Path, message: str, hint: str, reason: str
) -> None:
    code = (
        "from contract import EaselError\n"
        f"def model_fn(folder): return EaselError('config_error', {message!r}, hint={hint!r})\n"
    )
    (tmp_path / "contract.py").write_bytes((ROOT / "model_code/contract.py").read_bytes())
    (tmp_path / "inference.py").write_text(code)
    folders = ["--model-dir", str(tmp_path), "--code-dir", str(tmp_path)]
    command = [sys.executable, "-m", "easel.laptop.container.server", "--port", "0", *folders]
    log = tmp_path / "model.log"
    with log.open("w") as output:
        ended = subprocess.run(command, cwd=ROOT, stdout=output, stderr=output, timeout=60)
    assert ended.returncode == 1
    assert "Traceback" not in log.read_text()
    model = ServedModel(FAKE, find(MODEL), log)
    assert model.last_line(model.processes[0]) == reason
    for _ in range(MAX_FAILED_STARTS):
        model.note_failure(reason, alone=True)
    assert model.state().detail == f"The model does not start: {reason}."
