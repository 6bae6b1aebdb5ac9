"""Words for people: a moving line on a terminal, plain lines into a file or a pipe."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


class Terminal:
    """Standard error for what goes on, so that standard output holds results alone."""

    def __init__(self) -> None:
        self.lively = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def say(self, text: str) -> None:
        """One line; a terminal that was closed is no reason to stop."""
        with contextlib.suppress(OSError):
            print(text, file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def waiting(self, text: str) -> Iterator[Callable[[], None]]:
        """Shows `text` with the seconds passed, whenever what is yielded is called; one plain line elsewhere."""
        began = time.monotonic()
        if not self.lively:
            self.say(f"{text} …")
            yield lambda: None
            return
        with console().status(text) as status:
            yield lambda: status.update(f"{text} … {time.monotonic() - began:.0f} s")


def console() -> Console:
    """rich, on standard error; imported when it is needed: it takes a tenth of a second."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)
