"""The error that this package raises."""

from __future__ import annotations


class ModelFolderError(Exception):
    """A model folder that is refused: `message` says what is wrong, `hint` what to do.

    Callers of the API may see both, so neither holds a path of the machine.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}. {hint}")
        self.message, self.hint = message, hint
