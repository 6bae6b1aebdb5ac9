"""A deadline for a whole call. The timeouts of httpx count from byte to byte, so a server that drips would hold it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def call_within(seconds: float, call: Callable[[], T]) -> T:
    """Return the result of `call`, or raise TimeoutError after `seconds`. Ctrl-C and SIGTERM interrupt the wait.

    The call runs in a thread, which is left alone after the deadline: it ends with the program.
    """
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(call())
        except BaseException as error:  # for the thread that waits
            result.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return result.result(seconds)
