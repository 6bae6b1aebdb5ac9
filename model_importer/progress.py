"""Progress of an import, reported every few seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Self

REPORT_SECONDS = 10
_GB = 1e9
State = dict[str, Any]


class Progress:
    """Counters for several threads. As a context manager it calls `report(state)` every `seconds`."""

    def __init__(self, report: Callable[[State], None], seconds: float = REPORT_SECONDS) -> None:
        self._seconds = seconds
        self._report, self._lock, self._ended = report, threading.Lock(), threading.Event()
        self._started, self._fetched_bytes = time.monotonic(), 0
        self.files = self.bytes = self.total_files = self.total_bytes = 0

    def add_fetched(self, size: int) -> None:
        """Count bytes that came from the source."""
        with self._lock:
            self._fetched_bytes += size
            self.bytes += size

    def add_present(self, size: int) -> None:
        """Count bytes of an unfinished file that were in the bucket already."""
        with self._lock:
            self.bytes += size

    def finish_file(self, present: int = 0) -> None:
        """Count a finished file, and `present` bytes of it that were in the bucket already."""
        with self._lock:
            self.files += 1
            self.bytes += present

    def state(self) -> State:
        seconds = max(time.monotonic() - self._started, 0.001)
        return {
            "files": [self.files, self.total_files],
            "bytes": [self.bytes, self.total_bytes],
            "mb_per_second": round(self._fetched_bytes / seconds / 1e6, 1),
        }

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._repeat, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _repeat(self) -> None:
        while not self._ended.wait(self._seconds):
            self._report(self.state())


def render_progress(state: State) -> str:
    """Return a text: `3 of 17 files, 1.20 of 4.57 GB, 96.3 MB/s`, or of one small file `1.2 of 2.6 MB, 0.8 MB/s`."""
    (files, total_files), (size, total_size) = state["files"], state["bytes"]
    if not total_size:
        return "finding the files"
    counted = f"{files} of {total_files} files, " if total_files > 1 else ""
    sizes = f"{size / 1e6:.1f} of {total_size / 1e6:.1f} MB"
    if total_size >= _GB:
        sizes = f"{size / _GB:.2f} of {total_size / _GB:.2f} GB"
    return f"{counted}{sizes}, {state['mb_per_second']} MB/s"
