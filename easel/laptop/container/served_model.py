"""One model of the service: its processes while it is loaded, and what was measured of them."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from functools import cache, partial
from pathlib import Path

import psutil

from easel.laptop.catalogue import Entry
from easel.laptop.container.memory import LIBRARIES_BYTES, resident_bytes
from easel.laptop.container.process import ContainerProcess, stop_all
from jobs.ports import EndpointState, Ticket

MAX_FAILED_STARTS = 3
"""Starts in a row that may fail."""
MAX_PAUSE_SECONDS = 30.0
"""Longest pause before the next start."""
LAST_JOB_SHARE = 0.2
"""Share of the last job in the mean time of jobs."""
MAX_PROCESSES = 4
"""Most processes of one model. Each has PyTorch and the weights in memory."""


def expected_bytes(entry: Entry) -> int:
    """Return the memory that a model is expected to need before that was measured: what its entry says, or less if the
    model is small."""
    return min(int(entry.model.host_memory_gib * 2**30), 4 * entry.weights_bytes + 2 * LIBRARIES_BYTES)


class ServedModel:
    """The state is for all threads; the other methods are for the event loop."""

    def __init__(self, module: str, entry: Entry, log: Path) -> None:
        self.profile, self.log = entry.profile, log
        self._make_process = partial(ContainerProcess, module, entry, log)
        self.processes: tuple[ContainerProcess, ...] = (self._make_process(),)
        """The first is started for the first job, others while jobs wait. Those that have ended may be among them."""
        self._expected = expected_bytes(entry)
        self._loaded_bytes = entry.weights_bytes + LIBRARIES_BYTES
        self._load_seconds, self._resident, self._peak, self._has_run = 0.0, 0, 0, False
        self._load_peak = 0
        self.loading = False
        self.used_at = 0.0
        """When it was loaded, or its last job ended, on the monotonic clock."""
        self.next_start = 0.0
        """When it may be started, on the monotonic clock."""
        self.wanted_since: float | None = None
        """When the oldest job began to wait until other models leave for it, on the monotonic clock."""
        self.failures, self.failure, self.gave_up = 0, "", False
        """Failed starts in a row, why the last one failed, and whether the jobs that wait have to fail."""
        self.job_seconds = 0.0
        """Mean time of its last jobs; 0 before the first."""
        self.next_process = 0.0
        """When a further process may be started, on the monotonic clock."""
        self.needs_all_memory = False
        """True after it died while others were loaded: the next time they leave before."""

    @property
    def id(self) -> str:
        return self.profile.id

    @property
    def loaded(self) -> bool:
        return self.loaded_processes > 0

    @property
    def loaded_processes(self) -> int:
        return sum(process.loaded for process in self.processes)

    @property
    def in_memory(self) -> bool:
        return any(process.alive for process in self.processes)

    @property
    def runs_job(self) -> bool:
        return any(process.ticket for process in self.processes)

    @property
    def free_process(self) -> ContainerProcess | None:
        """A process that can run a job now."""
        return next((process for process in self.processes if process.free), None)

    @property
    def spare_processes(self) -> list[ContainerProcess]:
        """Processes without a job; at least one process is not among them."""
        return [process for process in self.processes if process.free][0 if self.runs_job else 1 :]

    @property
    def may_grow(self) -> bool:
        """Whether a further process would have a core for itself."""
        count = sum(process.alive for process in self.processes)
        return count < min(MAX_PROCESSES, cores()) and any(process.one_thread for process in self.processes)

    @property
    def resident(self) -> int:
        """Bytes that its processes used when they were last measured."""
        return self._resident if self.in_memory else 0

    @property
    def needed(self) -> int:
        """Bytes that a process needs: those of its catalogue entry, and after its first job the most that was
        measured."""
        return self._peak if self._has_run else max(self._expected, self._peak)

    @property
    def claimed(self) -> int:
        """Bytes that its processes use now or will need."""
        return max(self.resident, self.needed * sum(process.alive for process in self.processes))

    def process_of(self, ticket: Ticket) -> ContainerProcess | None:
        """Return the process that runs the job."""
        return next((process for process in self.processes if process.ticket == ticket and process.loaded), None)

    def add_process(self) -> ContainerProcess:
        """Return a further process, which is not started yet."""
        process = self._make_process()
        self.processes = (*(other for other in self.processes if other.alive), process)
        return process

    async def stop(self) -> None:
        """Stop all processes."""
        await stop_all(self.processes)

    def measure(self) -> None:
        """Measure the memory. What was measured before stays if the system refuses the file for a moment."""
        with suppress(OSError):
            sizes = [resident_bytes(process.pid) for process in self.processes]
            self._resident, self._peak = sum(sizes), max(self._peak, *sizes)
        self._load_peak = max(self._load_peak, self._resident) if self.loading else 0

    def state(self) -> EndpointState:
        if self.loaded:
            return EndpointState("ready")
        last = f" That took {self._load_seconds:.0f} s the last time." if self._load_seconds else ""
        if self.loading or 0 < self.failures < MAX_FAILED_STARTS:
            percent = min(90, 10 * (10 * self._load_peak // self._loaded_bytes))
            return EndpointState("starting", f"The model is loading: about {percent} %.{last}")
        if self.failures:
            return EndpointState("broken", f"The model does not start: {self.failure}.")
        if self.wanted_since:
            return EndpointState("asleep", f"The model is loaded when jobs of another one have had their turn.{last}")
        return EndpointState("asleep", f"The model is not in memory. The next job loads it.{last}")

    def note_load(self, seconds: float) -> None:
        """Record that it was loaded."""
        self.measure()
        self._load_seconds, self._loaded_bytes = seconds, max(self._resident, 1)
        self.failures, self.used_at = 0, time.monotonic()

    def note_failure(self, why: str, alone: bool) -> None:
        """Record a start that failed. `alone`: no other model was in memory."""
        self.failures, self.failure, self.needs_all_memory = self.failures + 1, why, not alone
        self.next_start = time.monotonic() + min(0.2 * 2**self.failures, MAX_PAUSE_SECONDS)

    def note_job(self, seconds: float) -> None:
        """Record that a job ended."""
        self.measure()
        self.job_seconds += (seconds - self.job_seconds) * (LAST_JOB_SHARE if self.job_seconds else 1)
        self._has_run, self.used_at = True, time.monotonic()

    def last_line(self, process: ContainerProcess) -> str:
        """Return the last line of its log, without a full stop, as the reason why the process failed to start."""
        if process.killed:
            return "it was killed, as a system does that has no memory left"
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError as error:
            return f"its log cannot be read: {error.strerror}"
        last = next((line for line in reversed(lines) if line.strip()), "it ended without a message")
        return last.rstrip(" .")


@cache
def cores() -> int:
    """Return the cores that this process may use, without hyper-threads."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(usable or 1, psutil.cpu_count(logical=False) or 1)
