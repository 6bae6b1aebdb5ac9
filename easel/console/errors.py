"""Errors of the command line: four parts on standard error, an exit code, and no traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from easel.console.program_name import with_program_name

FAILED, USAGE, ENVIRONMENT, INTERRUPTED = 1, 2, 3, 130
"""Exit codes: failed; usage error; something outside is missing or refused, such as service, key or file; Ctrl-C."""


class CommandError(Exception):
    """What went wrong, where, why, and the fix. `code` is the exit code."""

    def __init__(self, what: str, *, where: str, why: str, fix: str, code: int = FAILED) -> None:
        super().__init__(what)
        self.what, self.where, self.why, self.fix, self.code = what, where, why, fix, code

    def lines(self) -> list[str]:
        """Return the message, without empty parts."""
        parts = {"where": self.where, "why": self.why, "fix": with_program_name(self.fix)}
        return [f"Error: {self.what}", *(f"  {name:<6}{text}" for name, text in parts.items() if text)]


@contextmanager
def report_errors() -> Iterator[None]:
    """Turn a CommandError into a message on standard error and its exit code, and Ctrl-C into exit code 130."""
    try:
        yield
    except CommandError as error:
        print(*error.lines(), sep="\n", file=sys.stderr)
        sys.exit(error.code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
