"""Messages and progress on standard error: animated on a terminal, plain lines in a file or a pipe."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from easel.console.printable import printable

if TYPE_CHECKING:
    from rich.console import Console

ShowProgress = Callable[[str, tuple[int, int] | None], None]
"""Takes a message, and the finished and all steps if they are known."""
Tick = Callable[..., None]
"""Updates the seconds of a spinner. It may take a text to show after them."""


class Terminal:
    """Standard error. Standard output is for results."""

    def __init__(self) -> None:
        self.animated = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def print(self, text: str) -> None:
        """Print lines, with unprintable characters escaped. A closed terminal is no error."""
        with suppress(OSError):
            print(*map(printable, text.split("\n")), sep="\n", file=sys.stderr, flush=True)

    @contextmanager
    def spinner(self, text: str) -> Iterator[Tick]:
        """Show `text` and the elapsed seconds. The yielded function updates them."""
        began = time.monotonic()
        if not self.animated:
            self.print(f"{text} …")
            yield lambda more="": None
            return
        with _animation(text) as update:
            yield lambda more="": update(printable(f"{text} … {time.monotonic() - began:.0f} s{more}"))

    @contextmanager
    def progress_bar(self) -> Iterator[ShowProgress]:
        """Show the state of a job. The yielded function updates it."""
        if self.animated:
            with _bar() as show:
                yield show
        else:
            yield self._print_changes()

    def _print_changes(self) -> ShowProgress:
        last = ""

        def show(message: str, steps: tuple[int, int] | None) -> None:
            nonlocal last
            if message != last:
                last = message
                self.print(last)

        return show


@contextmanager
def _animation(text: str) -> Iterator[Callable[[str], None]]:
    """Show a spinner and `text`. Standard output stays as it is: `easel up` sends it to a file meanwhile."""
    from rich.live import Live
    from rich.spinner import Spinner
    from rich.text import Text

    spinner = Spinner("dots", text, style="status.spinner")
    with Live(spinner, console=_console(), refresh_per_second=12.5, transient=True, redirect_stdout=False):
        yield lambda text: spinner.update(text=Text(text))  # a str would be markup


@contextmanager
def _bar() -> Iterator[ShowProgress]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=_console(), transient=True) as progress:
        task = progress.add_task("", total=None)

        def show(message: str, steps: tuple[int, int] | None) -> None:
            if steps:
                progress.update(task, description=f"step {steps[0]}/{steps[1]}", completed=steps[0], total=steps[1])
            else:
                progress.update(task, description=printable(message))

        yield show


def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False)
