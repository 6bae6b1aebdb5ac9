"""Words for people: moving lines on a terminal, plain ones into a file or a pipe."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


class Terminal:
    """Standard error: standard output is for results alone."""

    def __init__(self) -> None:
        self.lively = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def say(self, text: str) -> None:
        """A terminal that was closed is no reason to stop."""
        with suppress(OSError):
            print(text, file=sys.stderr, flush=True)

    @contextmanager
    def waiting(self, text: str) -> Iterator[Callable[[], None]]:
        """Shows `text` and the seconds passed, again and again as what it yields is called."""
        began = time.monotonic()
        if not self.lively:
            self.say(f"{text} …")
            yield lambda: None
            return
        with _console().status(text) as status:
            yield lambda: status.update(f"{text} … {time.monotonic() - began:.0f} s")

    @contextmanager
    def following(self) -> Iterator[Callable[[Mapping[str, Any]], None]]:
        """Shows a job each time that what it yields is called with it."""
        if self.lively:
            with _bar() as show:
                yield show
        else:
            yield self._tell_changes()

    def _tell_changes(self) -> Callable[[Mapping[str, Any]], None]:
        told: list[str] = []

        def show(job: Mapping[str, Any]) -> None:
            if told[-1:] != [job["message"]]:
                told.append(job["message"])
                self.say(job["message"])

        return show


@contextmanager
def _bar() -> Iterator[Callable[[Mapping[str, Any]], None]]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=_console(), transient=True) as progress:
        task = progress.add_task("", total=None)

        def show(job: Mapping[str, Any]) -> None:
            if steps := job["progress"]:
                text = f"step {steps['step']}/{steps['steps']}"
                progress.update(task, description=text, completed=steps["step"], total=steps["steps"])
            else:
                progress.update(task, description=job["message"])

        yield show


def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False)
