"""What a person is told when something does not work: four parts, no traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from easel.console.program_name import as_typed

FAILED, USAGE, ENVIRONMENT, INTERRUPTED = 1, 2, 3, 130
"""Exit codes: the job failed; asked wrongly; something around is missing; Ctrl-C."""


class CommandError(Exception):
    """What happened, where, why, and the way out; `code` is the exit code."""

    def __init__(self, what: str, *, where: str, why: str, fix: str, code: int = FAILED) -> None:
        super().__init__(what)
        self.what, self.where, self.why, self.fix, self.code = what, where, why, fix, code

    def lines(self) -> list[str]:
        """For people; empty parts left off."""
        parts = {"where": self.where, "why": self.why, "fix": as_typed(self.fix)}
        return [f"Error: {self.what}", *(f"  {name:<6}{text}" for name, text in parts.items() if text)]


@contextmanager
def told() -> Iterator[None]:
    """Ends the program with what a CommandError says, on standard error; Ctrl-C ends it without words."""
    try:
        yield
    except CommandError as error:
        print(*error.lines(), sep="\n", file=sys.stderr)
        sys.exit(error.code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
