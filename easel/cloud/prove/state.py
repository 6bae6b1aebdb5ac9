"""The state of a run, in a file: a run that was stopped goes on, and what it deployed is never forgotten."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from easel.console.errors import USAGE, CommandError

FILE = "state.json"
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclass
class Outcome:
    """What one attempt of a step saw. `error`: the lines of the message, and what `easel doctor` said then."""

    step: str
    status: str
    started: str
    seconds: float
    usd: float
    facts: dict[str, str] = field(default_factory=dict)
    error: list[str] = field(default_factory=list)


@dataclass
class State:
    """One run. `deployed` is the variant in the account; `exists`: there may be something to remove.

    `usd` was spent until `charged_at` (epoch seconds); since then `instances` of each model may run. `usd_per_hour`:
    of an instance of each model. `model`: their ids with commas between them, the default first.
    """

    name: str
    region: str
    account: str
    context: list[str]
    limit_usd: float
    usd_per_hour: float
    model: str
    instance_type: str
    deployed: str = ""
    exists: bool = False
    usd: float = 0.0
    charged_at: float = 0.0
    instances: int = 0
    outcomes: list[Outcome] = field(default_factory=list)
    finished: bool = False

    @property
    def models(self) -> list[str]:
        return self.model.split(",")

    def done(self, step: str) -> bool:
        """Return whether the step needs no further attempt."""
        return any(outcome.step == step and outcome.status != FAILED for outcome in self.outcomes)

    def tried(self, step: str) -> bool:
        return any(outcome.step == step for outcome in self.outcomes)

    def save(self, folder: Path) -> None:
        """Replace the file at once: a reader or a power cut sees the old or the new state. Raises CommandError."""
        new = folder / f"{FILE}.new"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with new.open("w", encoding="utf-8") as file:
                json.dump(asdict(self), file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            new.replace(folder / FILE)
        except OSError as error:
            fix = "Free disk space, or use another folder with --out."
            raise CommandError(
                "The state cannot be written", where=str(folder), why=error.strerror or str(error), fix=fix
            ) from None


def load(folder: Path) -> State | None:
    """Return the unfinished run of a folder; None if there is none. Raises CommandError: the file is damaged."""
    file = folder / FILE
    try:
        values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        outcomes = [Outcome(**outcome) for outcome in values.pop("outcomes")]
        state = State(**values, outcomes=outcomes)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CommandError(
            "The state of the last run cannot be read",
            where=str(file),
            why=f"{type(error).__name__}: {error}",
            fix="Remove what the run deployed (easel leftovers lists it), then delete the file.",
            code=USAGE,
        ) from None
    return None if state.finished else state
