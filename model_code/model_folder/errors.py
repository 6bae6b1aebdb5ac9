"""The error that this package raises."""

from __future__ import annotations

from .printable import printable


class ModelFolderError(Exception):
    """A model folder that is refused: `message` says what is wrong, `hint` what to do.

    Callers of the API may see both, so neither holds a path of the machine. Characters that a terminal obeys, as in
    foreign file names, are escaped.
    """

    def __init__(self, message: str, hint: str) -> None:
        self.message, self.hint = printable(message), printable(hint)
        super().__init__(f"{self.message}. {self.hint}")
