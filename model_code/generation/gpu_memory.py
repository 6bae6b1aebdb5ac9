"""GPU memory after a failure: free it and go on, or end the process so that the server starts another.

The server reads `healthy`. The serving toolkit does not, so the process ends itself (exit status 70) once its last
response has had time to leave.
"""

import gc
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from container_log import log
from contract import refuse

EXIT_STATUS = 70
GRACE_SECONDS = 2.0
_TOLERANCE = 1.05
"""Allocated memory after a recovery may be this factor of the memory after loading."""
_LEAKS_ALLOWED = 1


def is_out_of_memory(error: RuntimeError) -> bool:
    """Recognise the errors by text too: those of MPS, and some of CUDA, have no class of their own."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or "out of memory" in str(error)


def is_context_lost(error: RuntimeError) -> bool:
    """Recognise other CUDA errors, such as a device-side assert: after them every later call fails too."""
    return "CUDA error" in str(error) and not is_out_of_memory(error)


def _end_process() -> None:
    os._exit(EXIT_STATUS)


class GpuMemory:
    """Recovery from failures. Create it after the weights are loaded: it expects that much memory after a failure."""

    def __init__(self, end_process: Callable[[], None] = _end_process) -> None:
        self.healthy = True
        self._end_process = end_process
        self._baseline = torch.cuda.memory_allocated()
        self._held = self._leaks = 0

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Expect `size` bytes more until the end of the block."""
        self._held += size
        try:
            yield
        finally:
            self._held -= size

    def recover(self) -> None:
        """Free the memory of a failed batch. Call it outside of the `except` block, whose traceback holds tensors.

        Raises EaselError `gpu_out_of_memory` if the memory was not freed twice in a row.
        """
        gc.collect()
        torch.cuda.empty_cache()
        allocated = torch.cuda.memory_allocated()
        self._leaks = self._leaks + 1 if allocated > (self._baseline + self._held) * _TOLERANCE else 0
        log("gpu_out_of_memory", allocated=allocated, baseline=self._baseline, leaks=self._leaks)
        if self._leaks > _LEAKS_ALLOWED:
            self.give_up()
            refuse("gpu_out_of_memory", None, "the GPU's memory cannot be freed", "The model is restarted.")

    def check_context(self, error: RuntimeError) -> None:
        """Give up and raise EaselError `container_died` if the GPU context is lost."""
        if is_context_lost(error):
            self.give_up()
            refuse("container_died", None, "the GPU stopped working", "The model is restarted; send the job again.")

    def give_up(self) -> None:
        """End the process after GRACE_SECONDS."""
        self.healthy = False
        log("unhealthy", exits_in_s=GRACE_SECONDS)
        timer = threading.Timer(GRACE_SECONDS, self._end_process)
        timer.daemon = True
        timer.start()
