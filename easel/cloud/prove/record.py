"""The record of a run: a Markdown file that can be sent in. Everything that identifies an account is masked."""

from __future__ import annotations

import platform
import re
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from easel import ROOT
from easel.cloud.doc_pages import NOT_SHOWN
from easel.cloud.prove.progress import today
from easel.cloud.prove.service import REQUEST
from easel.cloud.prove.state import FAILED, PASSED, Outcome, State
from easel.cloud.prove.steps import JOURNEY, STEPS
from easel.console.errors import CommandError
from stacks.config.prices import PRICES_DATE, REGION

MASKS: Sequence[tuple[str, str]] = (
    (re.escape(str(REQUEST["prompt"])), "<prompt>"),
    (r"https?://[^\s|)\"'`>]+", "<link>"),
    (r"\barn:aws[\w-]*:([a-z0-9-]+):[^\s|,;)\"'`]+", r"<arn of \1>"),
    (r"[\w.+-]+@[\w-]+(\.[\w-]+)+", "<email>"),
    (r"(?<![\w.-])[\w.-]+\.(amazonaws\.com(\.cn)?|cloudfront\.net|on\.aws|awsapps\.com)(?![\w-])[^\s|]*", "<host>"),
    (r"\b(AKIA|ASIA|AROA|AIDA)[A-Z0-9]{12,}\b", "<key id>"),
    (r"\b[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}\b", "<id>"),
    (r"(?<![\w/+])[A-Za-z0-9/+]{40}(?![\w/+])", "<secret>"),
    (r"\b[0-9a-f]{20,}\b", "<id>"),
    (r"(?<!\d)\d{12}(?!\d)", "<account>"),
    (r"(?<!\d)\d{4}…\d{4}(?!\d)", "<account>"),
    (r"(?<![\d.])\d{1,3}(\.\d{1,3}){3}(?![\d.])", "<ip>"),
)
"""Pattern to its replacement, in this order: a link before the ids in it."""


def mask(text: str, secrets: Sequence[str] = ()) -> str:
    """Return a text without account ids, keys, prompts, links and names of this machine."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "<secret>")
    text = text.replace(str(ROOT), "<easel>").replace(str(Path.home()), "~")
    for pattern, replacement in MASKS:
        text = re.sub(pattern, replacement, text)
    return text


def write(state: State, folder: Path, secrets: Sequence[str] = ()) -> Path:
    """Write the record and return its path. Raises CommandError."""
    path = folder / f"record-{state.name}.md"
    try:
        path.write_text(mask("\n".join(_lines(state)), secrets) + "\n", encoding="utf-8")
    except OSError as error:
        why, fix = error.strerror or str(error), "Free disk space, then: easel prove"
        raise CommandError("The record cannot be written", where=str(path), why=why, fix=fix) from None
    return path


def _lines(state: State) -> Iterator[str]:
    passed = {outcome.step for outcome in state.outcomes if outcome.status == PASSED}
    yield f"# Record of `easel prove`, {today()} UTC\n"
    yield _summary(state)
    yield "\n| | |\n| --- | --- |"
    rows = {
        "Easel": f"{_version()}, commit {_commit()}",
        "region": state.region,
        "model": f"{state.model} on {state.instance_type}",
        "settings": " ".join(state.context) or "none",
        "cost": f"about {state.usd:.2f} USD of {state.limit_usd:g}, instances only ({REGION}, {PRICES_DATE})",
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }
    yield from (f"| {name} | {_cell(value)} |" for name, value in rows.items())
    yield "\n## Steps\n\n| step | result | began (UTC) | seconds | USD | seen |\n| --- | --- | --- | --- | --- | --- |"
    yield from map(_row, state.outcomes)
    yield from (f"| {step.code} | not tried | | | | |" for step in STEPS if not state.tried(step.code))
    yield from _failures(state)
    yield f"\n{len(passed)} of {len(STEPS)} steps passed. {NOT_SHOWN} says what each shows."


def _summary(state: State) -> str:
    if all(state.done(step.code) for step in STEPS):
        return "Every step passed, and nothing is left."
    if state.exists:
        return "**The run is not finished, and something may still be deployed.**"
    missing = next((step.code for step in JOURNEY if not state.done(step.code)), "leftovers")
    return f"The run stopped at the step `{missing}`. Everything was removed; `easel prove` goes on."


def _row(outcome: Outcome) -> str:
    seen = "; ".join(f"{name}: {value}" for name, value in outcome.facts.items())
    cells = (outcome.step, outcome.status, outcome.started, f"{outcome.seconds:.0f}", f"{outcome.usd:.2f}", seen)
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _failures(state: State) -> Iterator[str]:
    for outcome in state.outcomes:
        if outcome.status == FAILED:
            lines = "\n".join(f"    {line}" for line in outcome.error)
            yield f"\n## {outcome.step} failed, {outcome.started}\n\n{lines}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _version() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


@cache
def _commit() -> str:
    """Return the short commit of the checkout, with `+` if files were changed; `unknown` without git."""
    try:
        command = ("git", "describe", "--always", "--dirty=+", "--exclude=*")
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() or "unknown"
