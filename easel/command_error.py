"""What a person is told when something does not work: four parts, no traceback."""

from __future__ import annotations

FAILED, USAGE, ENVIRONMENT, INTERRUPTED = 1, 2, 3, 130
"""Exit codes: the job failed; asked wrongly; something around is missing; Ctrl-C."""


class CommandError(Exception):
    """What happened, where, why, and the way out; `code` is the exit code."""

    def __init__(self, what: str, *, where: str, why: str, fix: str, code: int = FAILED) -> None:
        super().__init__(what)
        self.what, self.where, self.why, self.fix, self.code = what, where, why, fix, code

    def lines(self) -> list[str]:
        """For people; empty parts left off."""
        parts = {"where": self.where, "why": self.why, "fix": self.fix}
        return [f"Error: {self.what}", *(f"  {name:<6}{text}" for name, text in parts.items() if text)]
