"""`easel doctor`: whether a deploy from here would work, and whether what was deployed does."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from easel.cloud.account import Account, open_account
from easel.cloud.doctor import deployment, local_machine, own_resources, preflight, quotas
from easel.cloud.doctor.check import Check, Mark, guarded
from easel.cloud.doctor.plan import Plan
from easel.cloud.stack_state import find_deployed, only_beside
from easel.console.errors import ENVIRONMENT, CommandError

AWS_CHECKS = ("region", "quota", "lambda", "bootstrap", "stacks")
"""What needs an account to ask."""


@dataclass(frozen=True)
class Doctor:
    """`request`: ask AWS for the quota where it is too small."""

    plan: Plan
    root: Path
    request: bool = False

    def checks(self, region: str | None) -> Iterator[Check]:
        """One after the other, as they are done."""
        yield local_machine.node(self.root)
        yield local_machine.cdk(self.root)
        yield local_machine.model(self.plan)
        if folder := local_machine.folder(self.plan):
            yield folder
        yield local_machine.disk(self.plan, self.root)
        try:
            account = open_account(region)
            yield preflight.identity(account)
        except CommandError as error:
            yield Check("account", "failed", f"{error.what}: {error.why}.", error.fix)
            yield from (Check(name, "unknown", "Could not be checked without the account.") for name in AWS_CHECKS)
            return
        yield from self._before(account)
        yield from self._after(account)

    def _before(self, account: Account) -> Iterator[Check]:
        plan = self.plan
        if plan.instance_type:
            yield guarded("region", lambda: preflight.region(account, plan))
            yield guarded("quota", lambda: quotas.quota(account, plan, request=self.request))
        else:
            nothing = "Could not be checked: no instance type is known, since the model cannot be deployed."
            yield from (Check(name, "unknown", nothing) for name in ("region", "quota"))
        for name, look in self._perhaps().items():
            if check := guarded(name, partial(look, account, plan)):
                yield check
        yield guarded("lambda", lambda: preflight.concurrency(account, plan))
        yield guarded("bootstrap", lambda: preflight.bootstrap(account))

    def _perhaps(self) -> dict[str, Callable[[Account, Plan], Check | None]]:
        """What only some settings and models need."""
        return {
            "settings": preflight.settings,
            "fallbacks": partial(quotas.fallbacks, request=self.request),
            "update": partial(quotas.update, request=self.request),
            "notebook": partial(quotas.notebook, request=self.request),
            "import": preflight.importing,
            "files": preflight.files,
            "token": preflight.token,
            "key": own_resources.key,
            "network": own_resources.network,
            "certificate": own_resources.certificate,
            "firewall": own_resources.firewall,
        }

    def _after(self, account: Account) -> Iterator[Check]:
        nothing = Check("stacks", "ok", f"Nothing is deployed in {account.region} yet.")
        stacks = guarded("stacks", lambda: deployment.stacks(account) or nothing)
        yield stacks
        if stacks is nothing:
            return
        for name, look in {"change": deployment.change, "encryption": deployment.encryption}.items():
            if check := guarded(name, partial(look, account, self.plan)):
                yield check
        try:
            if only_beside(account):
                return
            deployed = find_deployed(account)
        except CommandError as error:
            mark: Mark = "unknown" if error.code == ENVIRONMENT else "failed"
            yield Check("endpoint", mark, f"{error.what}: {error.why}.", error.fix)
            return
        yield guarded("endpoint", lambda: deployment.endpoint(account, deployed))
        yield guarded("alarms", lambda: deployment.alarms(account))
        yield guarded("log", lambda: deployment.log(account, deployed))


def report(checks: Iterator[Check], as_json: bool) -> int:
    """Prints each check as it is done, or all as one JSON object; the exit code."""
    done = []
    for check in checks:
        done.append(check)
        if not as_json:
            print(check.text(_style), flush=True)
    counts = [sum(check.mark == mark for check in done) for mark in ("ok", "failed", "unknown")]
    if as_json:
        print(
            json.dumps({"ok": counts[0] == len(done), "checks": [check.json() for check in done]}, ensure_ascii=False)
        )
    else:
        print("{} in order, {} not, {} could not be checked.".format(*counts))
    return 0 if counts[0] == len(done) else 1


def _style(text: str, colour: str) -> str:
    import typer

    lively = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return typer.style(text, fg=colour) if lively else text
