"""The models of the service: which are loaded, which is loaded next, and which leaves memory for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

from contract import EaselError, ModelProfile
from easel.laptop.container.memory import Memory
from easel.laptop.container.process import ContainerProcess, stop_all
from easel.laptop.container.served_model import MAX_FAILED_STARTS, ServedModel
from jobs.endpoints import removed

TURN_SECONDS = 15.0
"""How long a model with waiting jobs stays in memory after an older job began to wait for its place."""
MAX_LOAD_SECONDS = 900.0
"""Longest time of a start. Others cannot be loaded meanwhile, except while it is that of a further process."""
WATCH_SECONDS = 0.5
"""Time between two measurements of memory."""
PROCESS_PAUSE_SECONDS = 60.0
"""Time after the end of a process in which its model gets no further one."""
SPARE_SECONDS = 300.0
"""Time after its last job in which a model keeps more than one process."""

_log = logging.getLogger(__name__)


class Models:
    """Starts one process at a time. Where memory is short for a model, others leave before: the least recently used
    first, and those with waiting jobs last.

    `on_change` is called when a start has ended. All methods are for one event loop.
    """

    def __init__(self, models: Sequence[ServedModel], memory: Memory) -> None:
        self.all, self.memory = tuple(models), memory
        self._by_id = {model.id: model for model in models}
        self._start: asyncio.Task[None] | None = None
        self._growing: tuple[ServedModel, ContainerProcess] | None = None
        """The model that is getting a further process, and that process."""
        self.on_change: Callable[[], None] = lambda: None
        self.serving = False
        """True after a model was loaded for the first time."""

    @property
    def profiles(self) -> list[ModelProfile]:
        return [model.profile for model in self.all]

    def __getitem__(self, id: str) -> ServedModel:
        return self._by_id[id]

    def is_loaded(self, id: str) -> bool:
        return id in self._by_id and self._by_id[id].loaded

    @property
    def failed(self) -> bool:
        """Whether every model has failed to start."""
        return all(model.failures >= MAX_FAILED_STARTS for model in self.all)

    def refusal(self, id: str) -> EaselError | None:
        """Return why the jobs of a model have to fail, or None. Until a first model is loaded, all jobs wait."""
        if id not in self._by_id:
            return removed(id)
        model = self._by_id[id]
        if not (self.serving and model.gave_up):
            return None
        message = f"the model {id} does not start: {model.failure}"
        return EaselError("model_error", message, hint=f"Read {model.log}.")

    async def bring(self, ids: Sequence[str]) -> None:
        """Begin to load a model, if one should be loaded and can be. Call it while no job runs.

        `ids`: the models of the waiting jobs, that of the oldest job first.
        """
        for model in self.all:
            model.wanted_since = model.wanted_since if ids and model.id == ids[0] else None
        if self._is_starting() and not self._growing:
            return
        wanted = self._next([id for id in ids if not self.is_loaded(id)])
        if wanted is None:
            return
        await self._end_growth()
        busy = {id for id in ids if self.is_loaded(id)}
        if self._leaving(wanted, busy):
            await stop_all(self._spare_processes())
        leaving = self._leaving(wanted, busy)
        if any(other.id in busy for other in leaving) and not self._may_interrupt(wanted, ids[0]):
            return
        for other in leaving:
            await other.stop()
        wanted.wanted_since, wanted.loading = None, True
        self._start = asyncio.create_task(self._load(wanted))

    def grow(self, model: ServedModel) -> None:
        """Begin to start a further process of a model whose processes are all busy, if it has use and room for it."""
        if self._is_starting() or not model.may_grow or time.monotonic() < model.next_process:
            return
        self._measure()
        if model.needed + _claimed(self._in_memory()) <= self.memory.room(self._used()):
            self._growing = model, model.add_process()
            self._start = asyncio.create_task(self._add_process(*self._growing))

    @contextmanager
    def running(self, model: ServedModel, process: ContainerProcess) -> Iterator[None]:
        """Measure the job that the block runs on the process, and then let the process run others."""
        began = time.monotonic()
        try:
            yield
        finally:
            process.ticket = None
            model.note_job(time.monotonic() - began)

    async def note_death(self, model: ServedModel, process: ContainerProcess) -> None:
        """End a process that does not respond any more."""
        await process.kill()
        model.needs_all_memory = self._has_company(model)
        model.next_process = time.monotonic() + PROCESS_PAUSE_SECONDS

    def note_failed_jobs(self) -> None:
        """Let models whose waiting jobs have failed be started again by the next job."""
        for model in self.all:
            model.gave_up = model.gave_up and not self.serving

    async def check(self) -> None:
        """Kill processes that report themselves as unhealthy. Call it while no job runs."""
        for model in self.all:
            for process in model.processes:
                await process.check()

    async def watch(self) -> None:
        """Measure the memory until cancelled. When it is short, the least recently used of several models leaves."""
        while True:
            with suppress(OSError):  # no file can be opened for the moment: the next measurement follows
                await self._free_memory()
            await asyncio.sleep(WATCH_SECONDS)

    async def stop(self) -> None:
        """End all processes."""
        if self._start:
            self._start.cancel()
            await asyncio.gather(self._start, return_exceptions=True)
        await asyncio.gather(*(model.stop() for model in self.all))

    # --- inside ----------------------------------------------------------------------------------

    async def _free_memory(self) -> None:
        """Stop spare processes that are not used any more. If the memory is short, stop one of the others, or else the
        least recently used of several models. Raises OSError."""
        self._measure()
        used, spare = self._used(), self._spare_processes()
        is_short = used > self.memory.room(used)
        loaded = sorted((model for model in self._in_memory() if model.loaded), key=lambda model: model.used_at)
        idle = [model for model in loaded if not model.runs_job]
        if is_short and spare:
            await spare[0].stop()
        elif is_short and self._growing:
            self._growing[0].next_process = time.monotonic() + PROCESS_PAUSE_SECONDS
            await self._end_growth()
        elif is_short and idle and len(self._in_memory()) > 1:
            await idle[0].stop()
        for model in idle:
            if time.monotonic() - model.used_at > SPARE_SECONDS:
                await stop_all(model.spare_processes)

    def _is_starting(self) -> bool:
        """Return whether a process is being started."""
        if self._start and self._start.done() and not self._start.cancelled():
            self._start.result()  # raises what nobody expects
        return self._start is not None and not self._start.done()

    def _spare_processes(self) -> list[ContainerProcess]:
        return [process for model in self.all for process in model.spare_processes]

    def _next(self, missing: Sequence[str]) -> ServedModel | None:
        """Return the model to start: one of `missing` in this order, or any if none is loaded."""
        models = [self._by_id[id] for id in missing if id in self._by_id]
        if not any(model.loaded for model in self.all):
            recent = sorted(self.all, key=lambda model: -model.used_at)
            models += [model for model in recent if model.failures < MAX_FAILED_STARTS][:1]
        now = time.monotonic()
        return next((model for model in models if not model.gave_up and now >= model.next_start), None)

    def _may_interrupt(self, model: ServedModel, oldest: str) -> bool:
        """Return whether models with waiting jobs have to leave for `model`, now."""
        if model.id != oldest:
            return False
        now = time.monotonic()
        model.wanted_since = model.wanted_since or now
        return now - model.wanted_since >= TURN_SECONDS

    def _leaving(self, model: ServedModel, busy: Collection[str]) -> list[ServedModel]:
        """Return the models that have to leave memory for `model`. `busy`: ids of those with waiting jobs."""
        self._measure()
        room = self.memory.room(self._used())
        staying = sorted(self._in_memory(), key=lambda other: (other.id in busy, other.used_at))
        leaving = []
        while staying and (model.needs_all_memory or model.needed + _claimed(staying) > room):
            leaving.append(staying.pop(0))
        return leaving

    async def _load(self, model: ServedModel) -> None:
        began, alone = time.monotonic(), not self._has_company(model)
        try:
            failure = await _start(model, model.processes[0])
        except OSError as error:  # the system refuses a process, which says nothing about the model
            if not model.failures:
                _log.error("the model %s cannot be started at the moment: %s", model.id, error)
            model.note_failure(str(error.strerror), alone=True)
        else:
            if failure:
                model.note_failure(failure, alone)
                model.gave_up = model.failures >= MAX_FAILED_STARTS
            else:
                model.note_load(time.monotonic() - began)
                self.serving = True
        model.loading = False
        self.on_change()

    async def _add_process(self, model: ServedModel, process: ContainerProcess) -> None:
        try:
            failure = await _start(model, process)
        except OSError as error:
            failure = str(error.strerror)
        self._growing = None
        if failure:
            _log.warning("a further process of %s does not start: %s", model.id, failure)
            model.next_process = time.monotonic() + PROCESS_PAUSE_SECONDS
        self.on_change()

    async def _end_growth(self) -> None:
        """End the start of a further process, if there is one: its place or its turn is needed."""
        if self._growing and self._start:
            (_, process), self._growing = self._growing, None
            self._start.cancel()
            await asyncio.gather(self._start, return_exceptions=True)
            await process.kill()

    def _has_company(self, model: ServedModel) -> bool:
        return any(other is not model for other in self._in_memory())

    def _in_memory(self) -> list[ServedModel]:
        return [model for model in self.all if model.in_memory]

    def _measure(self) -> None:
        for model in self.all:
            model.measure()

    def _used(self) -> int:
        return sum(model.resident for model in self.all)


async def _start(model: ServedModel, process: ContainerProcess) -> str:
    """Return when the process has loaded the model, or why it has not. Raises OSError."""
    try:
        async with asyncio.timeout(MAX_LOAD_SECONDS):
            return "" if await process.load() else model.last_line(process)
    except TimeoutError:
        await process.kill()
        return f"it was not loaded within {MAX_LOAD_SECONDS:.0f} s"


def _claimed(models: Sequence[ServedModel]) -> int:
    """Return the bytes that models use now or will need."""
    return sum(model.claimed for model in models)
