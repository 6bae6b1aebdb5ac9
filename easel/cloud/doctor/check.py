"""The type of a doctor check, its result, and the register of all checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, Literal, ParamSpec

from easel.console.errors import CommandError
from easel.console.printable import printable
from easel.console.program_name import with_program_name

Status = Literal["ok", "failed", "unknown"]
"""`unknown`: the check could not be completed, or AWS is still changing what it looks at."""
SYMBOLS = {"ok": "✓", "failed": "✗", "unknown": "?"}
COLOURS = {"ok": "green", "failed": "red", "unknown": "yellow"}
CODE_WIDTH = 16

Parameters = ParamSpec("Parameters")


@dataclass(frozen=True)
class Finding:
    """What a check found. An empty `remedy` of a failed finding stands for the remedy of its check."""

    status: Status
    message: str
    remedy: str = ""
    log_lines: tuple[str, ...] = ()


def ok(message: str, remedy: str = "") -> Finding:
    """Return a finding that needs no action; `remedy` is then a hint."""
    return Finding("ok", message, remedy)


def failed(message: str, remedy: str = "") -> Finding:
    """Return a finding that needs the action in `remedy`."""
    return Finding("failed", message, remedy)


def unknown(message: str, remedy: str = "") -> Finding:
    """Return the finding of a check without a result."""
    return Finding("unknown", message, remedy)


@dataclass(frozen=True)
class Result(Finding):
    """The finding of one check, with the stable code of the check."""

    code: str = field(default="", kw_only=True)

    def text(self, style: Callable[[str, str], str]) -> str:
        """Return the lines for a terminal. `style(text, colour)` adds the colour."""
        indent = " " * (CODE_WIDTH + 2)
        symbol = style(SYMBOLS[self.status], COLOURS[self.status])
        lines = [f"{symbol} {self.code:<{CODE_WIDTH}}{printable(self.message)}"]
        lines += [f"{indent}→ {printable(with_program_name(self.remedy))}"] if self.remedy else []
        return "\n".join(lines + [f"{indent}│ {printable(line)}" for line in self.log_lines])

    def json(self) -> dict[str, Any]:
        """Return code, status, message, remedy and log_lines."""
        return {**asdict(self), "remedy": with_program_name(self.remedy)}


@dataclass(frozen=True)
class Check(Generic[Parameters]):
    """A function that looks at one thing, with its stable code. `summary` and `remedy` are for the reference page."""

    code: str
    summary: str
    remedy: str
    function: Callable[Parameters, Finding | None]

    def run(self, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result | None:
        """Run the check. Return None if it does not apply. Raises CommandError: AWS refused a call."""
        finding = self.function(*args, **kwargs)
        return self.result(finding) if finding else None

    def try_run(self, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result | None:
        """Run the check. If AWS refuses a call, the result is `unknown`."""
        try:
            return self.run(*args, **kwargs)
        except CommandError as error:
            return self.result(unknown(f"Not checked: {error.what} ({error.where}: {error.why}).", error.fix))

    def result(self, finding: Finding) -> Result:
        """Return `finding` with this check's code and, if it failed and names no remedy, this check's remedy."""
        remedy = finding.remedy or (self.remedy if finding.status == "failed" else "")
        return Result(finding.status, finding.message, remedy, finding.log_lines, code=self.code)


CHECKS: dict[str, Check[Any]] = {}
"""All checks by code. Complete once `easel.cloud.doctor.run` is imported."""


def check(code: str, *, remedy: str) -> Callable[[Callable[Parameters, Finding | None]], Check[Parameters]]:
    """Register a function as the check `code`. The first line of its docstring is the summary."""

    def register(function: Callable[Parameters, Finding | None]) -> Check[Parameters]:
        summary = (function.__doc__ or "").partition("\n")[0]
        CHECKS[code] = Check(code, summary, remedy, function)
        return CHECKS[code]

    return register
