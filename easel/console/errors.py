"""Errors of the command line: four parts on standard error, an exit code, and no traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from easel.console.printable import printable
from easel.console.program_name import with_program_name

FAILED, USAGE, ENVIRONMENT, OUTPUT = 1, 2, 3, 4
"""Exit codes: failed; usage error; something outside is missing or refused, such as service, key or file; standard
output cannot be written. A signal has 128 + its number: 130 for Ctrl-C."""


class CommandError(Exception):
    """An error of the command line: what went wrong, where, why, and the fix. `code` is the exit code."""

    def __init__(self, what: str, *, where: str, why: str, fix: str, code: int = FAILED) -> None:
        super().__init__(what)
        self.what, self.where, self.why, self.fix, self.code = what, where, why, fix, code

    def lines(self) -> list[str]:
        """Return the message, without empty parts. A part of several lines is indented."""
        fix = with_program_name(self.fix)
        parts = [("Error: ", self.what), ("  where ", self.where), ("  why   ", self.why), ("  fix   ", fix)]
        lines = []
        for name, text in parts:
            first, *rest = (printable(line) for line in text.split("\n"))
            lines += [name + first, *(" " * len(name) + line for line in rest)] if text else []
        return lines


@contextmanager
def report_errors() -> Iterator[None]:
    """Turn a CommandError into a message on standard error and its exit code."""
    try:
        yield
    except CommandError as error:
        with suppress(OSError):  # the exit code still says it
            print(*error.lines(), sep="\n", file=sys.stderr, flush=True)
        sys.exit(error.code)
