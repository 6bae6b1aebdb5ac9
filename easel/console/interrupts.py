"""Ctrl-C, SIGTERM and SIGHUP: one line and an exit code, at every moment of a command."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """A signal that ends the command. `number`: its number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """End the process at once where a signal arrives: nothing has begun. Afterwards signals have their default."""
    try:
        with _handled(_end):
            yield
    finally:  # Python shows a traceback if Ctrl-C meets it at its own end
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)


@contextmanager
def interruptible(message: str = "Interrupted.") -> Iterator[None]:
    """Raise Interrupted where a signal arrives, so that what has begun is ended in order; then exit with its code."""
    try:
        with _handled(_interrupt):
            yield
    except Interrupted as error:
        with suppress(OSError):
            print(message, end="\n" if message else "", file=sys.stderr, flush=True)
        sys.exit(128 + error.number)


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Set the handler of each signal, except of those that the caller of the program ignores (nohup)."""
    previous = {number: signal.getsignal(number) for number in SIGNALS}
    taken = [number for number in SIGNALS if previous[number] is not signal.SIG_IGN]
    for number in taken:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, previous[number])


def _interrupt(number: int, _: FrameType | None) -> None:
    raise Interrupted(number)


def _end(number: int, _: FrameType | None) -> None:
    """End without cleaning up: an exception in the middle of an import would be shown, or lost."""
    with suppress(OSError):
        os.write(2, b"Interrupted.\n")
    os._exit(128 + number)
