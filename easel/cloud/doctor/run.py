"""`easel doctor`: run the checks in order and print the results."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from easel.cloud.account import Account, open_account
from easel.cloud.doctor import account as account_checks
from easel.cloud.doctor import (
    deployment,
    endpoint,
    functions,
    machine,
    model,
    own_resources,
    quotas,
    settings,
)
from easel.cloud.doctor.check import CHECKS, Result, failed, ok, unknown
from easel.cloud.doctor.plan import Plan
from easel.cloud.stack_state import find_endpoints, has_only_standalone_stacks
from easel.console.errors import ENVIRONMENT, CommandError
from easel.console.printable import to_json

__all__ = ["ACCOUNT_CHECKS", "CHECKS", "Doctor", "print_results"]

ACCOUNT_CHECKS = ("region", "endpoint_quota", "concurrency", "bootstrap", "stacks")
"""Checks that are listed as unknown if there is no access to an account."""


@dataclass(frozen=True)
class Doctor:
    """All checks of a plan. `request`: request increases from AWS for quotas that are too small."""

    plan: Plan
    root: Path
    request: bool = False

    def results(self, region: str | None) -> Iterator[Result]:
        """Run the checks and return each result as soon as it is there. Checks that do not apply have none."""
        for result in self._results(region):
            message, remedy = self.plan.in_commands(result.message), self.plan.in_commands(result.remedy)
            yield replace(result, message=message, remedy=remedy)

    def _results(self, region: str | None) -> Iterator[Result]:
        yield from _listed(machine.node.run(self.root))
        yield from _listed(machine.cdk.run(self.root))
        for plan in self.plan.each:
            yield from _listed(model.model.run(plan))
            yield from _listed(model.model_folder.run(plan))
        yield from _listed(machine.disk.run(self.plan, self.root))
        try:
            account = open_account(region, self.plan.settings.names)
            yield from _listed(account_checks.identity.run(account))
        except CommandError as error:
            yield account_checks.identity.result(failed(f"{error.what}: {error.why}.", error.fix))
            message = "Not checked: there is no access to an AWS account."
            yield from (CHECKS[code].result(unknown(message)) for code in ACCOUNT_CHECKS)
            return
        yield from self._plan_results(account)
        yield from self._deployment_results(account)

    def _plan_results(self, account: Account) -> Iterator[Result]:
        """Check whether the account and the region allow the planned deploy."""
        plan, request = self.plan, self.request
        by_type = _firsts(plan, lambda each: each.instance_type)
        by_fallbacks = _firsts(plan, lambda each: each.settings.pool[1:])
        for each in by_type:
            if each.instance_type:
                yield from _listed(account_checks.region.try_run(account, each))
                yield from _listed(quotas.endpoint_quota.try_run(account, each, request=request))
            else:
                message = "Not checked: no instance type is known, because the model cannot be deployed."
                yield from (CHECKS[code].result(unknown(message)) for code in ("region", "endpoint_quota"))
        yield from _listed(settings.settings.try_run(account, plan))
        for quota, plans in ((quotas.fallback_quota, by_fallbacks), (quotas.update_quota, by_type)):
            for each in plans:
                yield from _listed(quota.try_run(account, each, request=request))
        yield from _listed(quotas.notebook_quota.try_run(account, plan, request=request))
        for check in MODEL_CHECKS:
            for each in plan.each:
                yield from _listed(check.try_run(account, each))
        for check in PLAN_CHECKS:
            yield from _listed(check.try_run(account, plan))
        yield from _listed(account_checks.bootstrap.try_run(account))

    def _deployment_results(self, account: Account) -> Iterator[Result]:
        """Check what is deployed."""
        stacks = deployment.stacks.try_run(account)
        if stacks is None:
            yield deployment.stacks.result(ok(f"Nothing is deployed in {account.region} yet."))
            return
        yield stacks
        for check in (settings.settings_change, settings.encryption):
            yield from _listed(check.try_run(account, self.plan))
        yield from _listed(functions.archives.try_run(account))
        yield from _listed(functions.keys.try_run(account))
        yield from _listed(functions.users.try_run(account))
        try:
            if has_only_standalone_stacks(account):
                return
            endpoints = find_endpoints(account)
        except CommandError as error:
            unfinished = stacks.status == "unknown"  # the model's stack may come
            finding = unknown if unfinished or error.code == ENVIRONMENT else failed
            yield endpoint.endpoint.result(finding(f"{error.what}: {error.why}.", error.fix))
            return
        yield from _listed(endpoint.budget_stop.try_run(account))
        for deployed in endpoints:
            yield from _listed(endpoint.endpoint.try_run(account, deployed))
        yield from _listed(functions.api_endpoint.try_run(account, endpoints))
        yield from _listed(deployment.alarms.try_run(account))
        for deployed in endpoints:
            yield from _listed(endpoint.container_log.try_run(account, deployed))


def _firsts(plan: Plan, key: Callable[[Plan], object]) -> list[Plan]:
    """Return the first plan of each value of `key`, each with the plans of all other models."""
    keys = [key(each) for each in plan.each]
    firsts = [each for i, each in enumerate(plan.each) if keys[i] not in keys[:i]]
    return [replace(each, others=tuple(other for other in plan.each if other is not each)) for each in firsts]


MODEL_CHECKS = (model.model_import, model.model_files, model.hub_token, model.model_token)
PLAN_CHECKS = (
    own_resources.kms_key,
    own_resources.network,
    own_resources.certificate,
    own_resources.web_acl,
    own_resources.sign_in_secret,
    account_checks.concurrency,
    functions.powertools,
    account_checks.budget,
)


def _listed(result: Result | None) -> Iterator[Result]:
    """Return the result, unless the check does not apply."""
    if result:
        yield result


def print_results(results: Iterator[Result], as_json: bool) -> int:
    """Print each result as soon as it is there, or all as one JSON object. Return the exit code: 0 if all are ok."""
    finished: list[Result] = []
    for result in results:
        finished.append(result)
        if not as_json:
            print(result.text(_style), flush=True)
    counts = {status: sum(result.status == status for result in finished) for status in ("ok", "failed", "unknown")}
    all_ok = counts["ok"] == len(finished)
    if as_json:
        output = {"ok": all_ok, "checks": [result.json() for result in finished]}
        print(to_json(output))
    else:
        print(", ".join(f"{count} {status}" for status, count in counts.items()) + ".")
    return 0 if all_ok else 1


def _style(text: str, colour: str) -> str:
    import typer

    use_colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return typer.style(text, fg=colour) if use_colour else text
