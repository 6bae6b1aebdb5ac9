"""Progress of a run: a spinner on a terminal, one line for each finished step everywhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from easel.cloud.prove.state import Outcome
from easel.console.printable import printable
from easel.console.terminal import Terminal, Tick

SYMBOLS = {"passed": "✓", "failed": "✗", "skipped": "-"}


class Progress(Terminal):
    """A terminal whose spinners are silent in a file or a pipe. `step` is shown before each text."""

    step = ""

    @contextmanager
    def spinner(self, text: str) -> Iterator[Tick]:
        if not self.animated:
            yield lambda more="": None
            return
        with super().spinner(f"{self.step}{text}") as tick:
            yield tick


def line(outcome: Outcome) -> str:
    """Return the line of a finished step."""
    seen = "; ".join(f"{name}: {value}" for name, value in outcome.facts.items())
    text = f"{SYMBOLS[outcome.status]} {outcome.step:<15}{outcome.seconds:>6.0f} s{outcome.usd:>7.2f} USD  {seen}"
    return printable(text.rstrip())


def today() -> str:
    """Return the time in UTC, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
