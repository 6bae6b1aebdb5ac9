"""How far an import is, said every few seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Self

SECONDS = 10
State = dict[str, Any]


class Progress:
    """Counts from several threads; while it is entered, `tell(state)` is called every few seconds, and at the end."""

    def __init__(self, tell: Callable[[State], None]) -> None:
        self._tell, self._lock, self._ended = tell, threading.Lock(), threading.Event()
        self._began, self._moved = time.monotonic(), 0
        self.files = self.bytes = self.all_files = self.all_bytes = 0

    def add(self, size: int) -> None:
        """Bytes that went from the source into the bucket."""
        with self._lock:
            self._moved += size
            self.bytes += size

    def keep(self, size: int) -> None:
        """Bytes of a file under way that were in the bucket already."""
        with self._lock:
            self.bytes += size

    def settle(self, already: int = 0) -> None:
        """One more file is in the release; `already` bytes of it needed no source."""
        with self._lock:
            self.files += 1
            self.bytes += already

    def state(self) -> State:
        seconds = max(time.monotonic() - self._began, 0.001)
        return {
            "files": [self.files, self.all_files],
            "bytes": [self.bytes, self.all_bytes],
            "mb_per_second": round(self._moved / seconds / 1e6, 1),
        }

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._repeat, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _repeat(self) -> None:
        while not self._ended.wait(SECONDS):
            self._tell(self.state())


def render(state: State) -> str:
    """`3 of 17 files, 1.20 of 4.57 GB, 96.3 MB/s`."""
    (files, all_files), (size, all_size) = state["files"], state["bytes"]
    return f"{files} of {all_files} files, {size / 1e9:.2f} of {all_size / 1e9:.2f} GB, {state['mb_per_second']} MB/s"
