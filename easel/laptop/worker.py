"""One process that runs the API's function: the twin of `lambda/handlers.py` for a laptop.

`python -m easel.laptop.worker DATA PORT`: the data folder, and the port of the container. A line of JSON on standard input is
an event or a wake-up call; lines on standard output tell that it is ready, that a job was queued, or the answer.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from contract import parse_profile
from easel.laptop.clock import WakefulClock
from easel.laptop.container.client import ContainerClient
from easel.laptop.endpoint import LaptopEndpoint
from easel.laptop.storage.data_folder import Home
from gateway.service import Router, Service
from gateway.telemetry import Telemetry
from jobs.lifecycle import Jobs
from routes.native import Native


def make_api(home: Home, port: int, clock: WakefulClock, on_submit: Callable[[], None]) -> Service:
    """The API with a folder, a queue and a container where the cloud has a bucket and an endpoint."""
    telemetry = Telemetry()
    jobs = Jobs(
        store=home.store(),
        endpoint=LaptopEndpoint(home.queue(), ContainerClient(port), on_submit),
        clock=clock,
        ttl_s=float(os.environ["EASEL_JOB_TTL_SECONDS"]),
        on_end=telemetry.ended,
        on_accept=telemetry.accepted,
    )
    native = Native(
        jobs=jobs,
        profile=parse_profile(os.environ["EASEL_MODEL_PROFILE"]),
        wait_s=float(os.environ["EASEL_WAIT_SECONDS"]),
        deadline_ms=1000 * int(os.environ["EASEL_DEADLINE_SECONDS"]),
    )
    router = Router([native])
    return Service(lambda: router, clock.now, telemetry)


class _Inbox:
    """Reads standard input on the side, so that wake-up calls and the end of the service are heard at any time."""

    def __init__(self, source: IO[bytes], wake: Callable[[], None]) -> None:
        self._source, self._wake = source, wake
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True, name="inbox").start()

    def next(self) -> Any:
        return self._events.get()

    def _read(self) -> None:
        for line in self._source:
            message = json.loads(line)
            if "event" in message:
                self._events.put(message["event"])
            else:
                self._wake()
        os._exit(0)


def _take_stdout() -> IO[bytes]:
    """Standard output for us alone; what the handlers print goes to standard error, the log."""
    ours = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return ours


def main() -> None:
    """Until standard input closes."""
    out, clock = _take_stdout(), WakefulClock()

    def say(**message: Any) -> None:
        out.write(json.dumps(message).encode() + b"\n")
        out.flush()

    inbox = _Inbox(sys.stdin.buffer, clock.wake)
    api = make_api(Home(Path(sys.argv[1])), int(sys.argv[2]), clock, lambda: say(queued=True))
    say(ready=True)
    while True:
        say(answer=api(inbox.next()))


if __name__ == "__main__":
    main()
