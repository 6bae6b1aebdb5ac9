"""`easel doctor`: whether a deploy from here would work, and whether what was deployed does."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from easel.cloud import after, before, here, options, quotas
from easel.cloud.account import Account, open_account
from easel.cloud.check import Check, Mark, guarded
from easel.cloud.deployed import find_deployed, only_beside
from easel.cloud.plan import Plan
from easel.command_error import ENVIRONMENT, CommandError

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
        yield here.node(self.root)
        yield here.cdk(self.root)
        yield here.model(self.plan)
        if folder := here.folder(self.plan):
            yield folder
        yield here.disk(self.plan, self.root)
        try:
            account = open_account(region)
            yield before.identity(account)
        except CommandError as error:
            yield Check("account", "failed", f"{error.what}: {error.why}.", error.fix)
            yield from (Check(name, "unknown", "Could not be checked without the account.") for name in AWS_CHECKS)
            return
        yield from self._before(account)
        yield from self._after(account)

    def _before(self, account: Account) -> Iterator[Check]:
        plan = self.plan
        if plan.instance_type:
            yield guarded("region", lambda: before.region(account, plan))
            yield guarded("quota", lambda: quotas.quota(account, plan, request=self.request))
        else:
            nothing = "Could not be checked: no instance type is known, since the model cannot be deployed."
            yield from (Check(name, "unknown", nothing) for name in ("region", "quota"))
        for name, look in self._perhaps().items():
            if check := guarded(name, partial(look, account, plan)):
                yield check
        yield guarded("lambda", lambda: before.concurrency(account, plan))
        yield guarded("bootstrap", lambda: before.bootstrap(account))

    def _perhaps(self) -> dict[str, Callable[[Account, Plan], Check | None]]:
        """What only some settings and models need."""
        return {
            "settings": before.settings,
            "fallbacks": partial(quotas.fallbacks, request=self.request),
            "update": partial(quotas.update, request=self.request),
            "notebook": partial(quotas.notebook, request=self.request),
            "import": before.importing,
            "files": before.files,
            "token": before.token,
            "key": options.key,
            "network": options.network,
            "certificate": options.certificate,
            "firewall": options.firewall,
        }

    def _after(self, account: Account) -> Iterator[Check]:
        nothing = Check("stacks", "ok", f"Nothing is deployed in {account.region} yet.")
        stacks = guarded("stacks", lambda: after.stacks(account) or nothing)
        yield stacks
        if stacks is nothing:
            return
        for name, look in {"change": after.change, "encryption": after.encryption}.items():
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
        yield guarded("endpoint", lambda: after.endpoint(account, deployed))
        yield guarded("alarms", lambda: after.alarms(account))
        yield guarded("log", lambda: after.log(account, deployed))


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
