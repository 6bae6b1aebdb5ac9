"""Messages and progress on standard error: animated on a terminal, plain lines in a file or a pipe."""

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
    """Standard error. Standard output is for results."""

    def __init__(self) -> None:
        self.animated = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def print(self, text: str) -> None:
        """Print a line. A closed terminal is no error."""
        with suppress(OSError):
            print(text, file=sys.stderr, flush=True)

    @contextmanager
    def spinner(self, text: str) -> Iterator[Callable[[], None]]:
        """Show `text` and the elapsed seconds. The yielded function updates them."""
        began = time.monotonic()
        if not self.animated:
            self.print(f"{text} …")
            yield lambda: None
            return
        with _console().status(text) as status:
            yield lambda: status.update(f"{text} … {time.monotonic() - began:.0f} s")

    @contextmanager
    def progress_bar(self) -> Iterator[Callable[[Mapping[str, Any]], None]]:
        """Show the state of a job. The yielded function takes the job and updates it."""
        if self.animated:
            with _bar() as show:
                yield show
        else:
            yield self._print_changes()

    def _print_changes(self) -> Callable[[Mapping[str, Any]], None]:
        last = ""

        def show(job: Mapping[str, Any]) -> None:
            nonlocal last
            if job["message"] != last:
                last = job["message"]
                self.print(last)

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
