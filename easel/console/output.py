"""Standard output of every command: text that its encoding lacks is escaped, and an error of writing is one line."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from easel.console.errors import OUTPUT, CommandError, report_errors


@contextmanager
def checked_output() -> Iterator[None]:
    """Run a command. Exits with the code `OUTPUT` if standard output cannot be written: disk full, pipe closed."""
    sys.stdout, sys.stderr = sys.stdout or _null(), sys.stderr or _null()  # None where the caller has closed them
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    original = sys.stdout
    sys.stdout = _Output(original)
    try:
        with report_errors():
            try:
                yield
            finally:
                sys.stdout.flush()
    finally:
        sys.stdout = original


class _Output:
    """A text stream that raises CommandError after writing failed. It has no `buffer`, which would bypass it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._error: CommandError | None = None

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":
            raise AttributeError(name)
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._errors():
            return self._stream.write(text)

    def flush(self) -> None:
        with self._errors():
            self._stream.flush()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            with suppress(OSError), _null() as null:  # for what is still buffered, or Python would report it again
                os.dup2(null.fileno(), self._stream.fileno())
            what = f"standard output cannot be written: {error.strerror or error}"
            self._error = CommandError(what, where="", why="", fix="", code=OUTPUT)
        if self._error:  # again for each call: a caller may have suppressed the first
            raise self._error


def _null() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")
