"""Perform the steps: in order, each once, and whatever happens with a clean-up at the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

from easel import ROOT
from easel.cloud.doctor.plan import read_plan
from easel.cloud.doctor.run import Doctor
from easel.cloud.prove import record
from easel.cloud.prove.progress import line, today
from easel.cloud.prove.run import Facts, Run
from easel.cloud.prove.state import FAILED, PASSED, SKIPPED, Outcome
from easel.cloud.prove.steps import CLEAN_UP, JOURNEY, Step
from easel.console.errors import CommandError
from easel.console.printable import printable
from easel.console.program_name import with_program_name

NOT_TRIED = "not tried"
"""Key of the reason why an action did nothing."""


class Runner:
    """Performs `journey`, then `clean_up`."""

    def __init__(self, run: Run, journey: Sequence[Step] = JOURNEY, clean_up: Sequence[Step] = CLEAN_UP) -> None:
        self._run, self._journey, self._clean_up = run, journey, clean_up

    def prove(self) -> int:
        """Perform what is left of the run, and clean up. Return the exit code. Ctrl-C cleans up before it ends it."""
        stopped: BaseException | None = None
        try:
            for step in self._journey:
                if not self._run.state.done(step.code):
                    self._perform(step)
        except BaseException as error:  # Ctrl-C and faults of this program too: the deployment costs money
            stopped = error
            self._explain(error)
        self.clean_up()
        if stopped and not isinstance(stopped, CommandError):
            raise stopped
        return 1 if stopped else 0

    def clean_up(self) -> None:
        """Remove what was deployed, check that nothing is left, and write the record. Raises CommandError."""
        run, state = self._run, self._run.state
        try:
            if state.exists:
                for step in self._clean_up:
                    self._perform(step)
            state.finished = all(state.done(step.code) for step in self._journey) and not state.exists
        except BaseException:
            hour = f"up to {2 * state.usd_per_hour:.2f} USD an hour"
            run.progress.print(with_program_name(
                f"{state.name} may still be deployed in {state.region} and costs {hour}. To remove it: "
                "easel prove --clean-up"
            ))  # fmt: skip
            raise
        finally:
            run.save()
            path = record.write(state, run.folder, run.secrets)
            with suppress(CommandError):  # nobody may read it any more
                print(f"Record: {path}", flush=True)

    def _perform(self, step: Step) -> None:
        """Perform one step and keep what it saw. Raises what the step raises."""
        run, state = self._run, self._run.state
        run.meter.charge()
        usd, began, started = state.usd, time.monotonic(), today()
        codes = [each.code for each in (*self._journey, *self._clean_up)]
        run.progress.step = f"{codes.index(step.code) + 1}/{len(codes)} {step.code} · "
        facts: Facts = {}
        lines: list[str] = []
        status = FAILED
        try:
            facts = self._act(step)
            status = SKIPPED if NOT_TRIED in facts else PASSED
        except CommandError as error:
            lines = [*error.lines(), *self._diagnose()]
            raise
        except BaseException as error:
            lines = [f"Stopped: {type(error).__name__}"]
            raise
        finally:
            run.meter.charge()
            seconds = time.monotonic() - began
            outcome = Outcome(step.code, status, started, round(seconds, 1), state.usd - usd, facts, lines)
            state.outcomes.append(outcome)
            run.save()
            with suppress(*([CommandError] if step in self._clean_up else [])):  # the clean-up goes on without a reader
                print(line(outcome), flush=True)

    def _act(self, step: Step) -> Facts:
        run = self._run
        if step in self._journey:
            run.meter.check(step.minutes, step.instances)
            if step.variant not in ("", run.state.deployed) and run.deploy(step.variant):
                raise run.refusal("The deploy failed")
        return step.action(run)

    def _diagnose(self) -> list[str]:
        """Return what `easel doctor` says about a deployment, in AWS's words."""
        state, lines = self._run.state, []
        if state.exists:
            with suppress(CommandError):
                plan = read_plan([*state.context, f"name={state.name}"], ROOT)
                for result in Doctor(plan, ROOT).results(state.region):
                    if result.status != "ok":
                        lines += [f"easel doctor: {result.code}: {result.message}", *result.log_lines]
        return lines

    def _explain(self, error: BaseException) -> None:
        run = self._run
        if isinstance(error, CommandError):
            run.progress.print("\n".join(map(printable, error.lines())))
        elif isinstance(error, KeyboardInterrupt):
            run.progress.print("Stopped.")
        if run.state.exists:
            run.progress.print("Removing what was deployed. Another Ctrl-C would leave it, and its costs.")
