"""One thing that `easel doctor` looks at, and what it found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from easel.console.errors import CommandError
from easel.console.program_name import as_typed

Mark = Literal["ok", "failed", "unknown"]
SIGNS = {"ok": "✓", "failed": "✗", "unknown": "?"}
COLOURS = {"ok": "green", "failed": "red", "unknown": "yellow"}
NAME_WIDTH = 12


@dataclass(frozen=True)
class Check:
    """`said` is one sentence; `fix` the way out; `lines` what a log has of it. `unknown`: it could not be checked."""

    name: str
    mark: Mark
    said: str
    fix: str = ""
    lines: tuple[str, ...] = ()

    def text(self, style: Callable[[str, str], str]) -> str:
        """For people. `style(text, colour)` colours, or does not."""
        start = " " * (NAME_WIDTH + 2)
        rows = [f"{style(SIGNS[self.mark], COLOURS[self.mark])} {self.name:<{NAME_WIDTH}}{self.said}"]
        rows += [f"{start}→ {as_typed(self.fix)}"] if self.fix else []
        return "\n".join(rows + [f"{start}│ {line}" for line in self.lines])

    def json(self) -> dict[str, Any]:
        ok = {"ok": True, "failed": False, "unknown": None}[self.mark]
        return {"name": self.name, "ok": ok, "said": self.said, "fix": as_typed(self.fix), "lines": list(self.lines)}


Found = TypeVar("Found", Check, Check | None)


def guarded(name: str, look: Callable[[], Found]) -> Found:
    """What AWS does not let us see is not known, and not in order."""
    try:
        return look()
    except CommandError as error:
        return Check(name, "unknown", f"Could not be checked: {error.what} ({error.where}: {error.why}).", error.fix)
