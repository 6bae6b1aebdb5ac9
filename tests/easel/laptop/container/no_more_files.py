"""The models while no file can be opened. `test_models.py` runs these tests in a process of their own."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from easel.laptop.container import models as module
from easel.laptop.container.memory import Memory
from jobs.ports import Ticket
from tests.easel.laptop.container.test_models import COPY, Service
from tests.easel.running import MODEL


@contextmanager
def no_more_files() -> Iterator[None]:
    """No file or socket can be opened, since this process has used up its limit. Those that are open stay usable."""
    limits, opened = resource.getrlimit(resource.RLIMIT_NOFILE), list[int]()
    highest = max(int(path.name) for path in Path("/dev/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, limits[1]))
    try:
        with suppress(OSError):
            while True:
                opened.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for number in opened:
            os.close(number)


def test_the_memory_is_still_watched_after_no_file_could_be_opened(tmp_path: Path) -> None:
    service = Service(tmp_path, Memory())

    async def work() -> None:
        for model in (COPY, MODEL):
            service.submit("a bus", model)
            await service.until(lambda: not service.waiting())
        used = service.served[0].resident
        with no_more_files():
            await asyncio.sleep(2 * module.WATCH_SECONDS)
        assert service.served[0].resident == used > 0
        service.models.memory = Memory(1)
        await service.until(lambda: not service.served[1].in_memory)

    service.run(work)


def test_a_container_lives_on_when_no_file_could_be_opened(tmp_path: Path) -> None:
    service = Service(tmp_path)

    async def work() -> None:
        container = service.served[0].processes[0]
        await service.until(lambda: container.loaded)
        with no_more_files(), pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
            container.client.predict(Ticket("a" * 16, "b" * 44), b"{}")
        assert container.loaded

    service.run(work)
