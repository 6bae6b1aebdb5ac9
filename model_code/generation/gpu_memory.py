"""The GPU's memory after a failure: freed and drawn on, or given up so that a fresh process takes over.

Read by whoever serves: `healthy` is False once this process can draw no more, and the process ends itself
(exit status 70) after the answer has had time to leave, because a serving toolkit does not ask.
"""

import gc
import os
import threading
from collections.abc import Callable

import torch

from container_log import log
from contract import refuse

EXIT_STATUS = 70
GRACE_SECONDS = 2.0
_SLACK = 1.05
_LEAKS_ALLOWED = 1


def ran_out(error: RuntimeError) -> bool:
    """Also `MPS backend out of memory` and a plain `CUDA error: out of memory`, which have no class of their own."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or "out of memory" in str(error)


def lost_context(error: RuntimeError) -> bool:
    """After any other CUDA error (a device-side assert, an illegal address) every later call fails too."""
    return "CUDA error" in str(error) and not ran_out(error)


def _end_process() -> None:
    os._exit(EXIT_STATUS)


class Memory:
    """Made once the weights are loaded: what is allocated then is what must remain after a failure."""

    def __init__(self, end_process: Callable[[], None] = _end_process) -> None:
        self.healthy = True
        self._end_process = end_process
        self._baseline = torch.cuda.memory_allocated()
        self._leaks = 0

    def recover(self) -> None:
        """Call outside of the `except` block: inside, the traceback keeps the tensors alive.

        Raises EaselError `gpu_out_of_memory` when the memory did not come back twice in a row.
        """
        gc.collect()
        torch.cuda.empty_cache()
        allocated = torch.cuda.memory_allocated()
        self._leaks = self._leaks + 1 if allocated > self._baseline * _SLACK else 0
        log("gpu_out_of_memory", allocated=allocated, baseline=self._baseline, leaks=self._leaks)
        if self._leaks > _LEAKS_ALLOWED:
            self.give_up()
            refuse("gpu_out_of_memory", None, "the GPU's memory does not come free", "The model is restarted.")

    def give_up(self) -> None:
        self.healthy = False
        log("unhealthy", exits_in_s=GRACE_SECONDS)
        end = threading.Timer(GRACE_SECONDS, self._end_process)
        end.daemon = True
        end.start()
