"""Steps about the account: is it ready, what was deployed, is everything gone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from easel import ROOT
from easel.cloud.account import aws_errors
from easel.cloud.doctor.account import bootstrap as bootstrap_check
from easel.cloud.doctor.check import Result
from easel.cloud.doctor.container_log import last_lines
from easel.cloud.doctor.plan import read_plan
from easel.cloud.doctor.run import Doctor
from easel.cloud.leftovers.scan import Scan, scan
from easel.cloud.prove.actions.observations import role_names, seen, trace
from easel.cloud.prove.releases import SETTINGS
from easel.cloud.prove.run import Facts, Run
from easel.cloud.stack_state import find_endpoints, resources_of
from easel.console.errors import CommandError
from stacks.config.names import endpoint_log_group

OWN_STEPS = ("bootstrap",)
"""Checks of the doctor that are steps of their own."""
LOG_GROUP = "AWS::Logs::LogGroup"
REPORT = re.compile(r"Max Memory Used: (?P<memory>\d+) MB\s+Init Duration: (?P<init>[\d.]+) ms")
ANSWER_MINUTES = 10.0
GONE_MINUTES = 10.0
SLOWEST = 3


def doctor(run: Run) -> Facts:
    """`easel doctor` finds nothing that would fail, for the settings that need most."""
    return _doctor(run, "realtime")


def inspect(run: Run) -> Facts:
    """`easel doctor` finds nothing wrong in what is deployed. Logs of container and functions are read."""
    facts = _doctor(run, "async")
    for deployed in find_endpoints(run.account):
        lines = [line for _, line in last_lines(run.account, endpoint_log_group(deployed.endpoint))]
        count = sum("inference_id" in line for line in lines)
        facts[f"container's log {deployed.model}".rstrip()] = f"{len(lines)} lines, {count} with inference_id"
    facts |= seen("names of roles", lambda: role_names(run)) | seen("trace", lambda: trace(run))
    return facts | _function_reports(run)


def _function_reports(run: Run) -> Facts:
    """Return the slowest start of a function and the most memory that one used, from Lambda's REPORT lines."""
    found: list[re.Match[str]] = []
    for resource in resources_of(run.account, run.account.names.api):
        if resource["ResourceType"] == LOG_GROUP:
            group = resource["PhysicalResourceId"]
            with aws_errors():
                events = run.account.items(
                    "logs", "filter_log_events", "events", logGroupName=group, filterPattern="REPORT"
                )
                found += filter(None, (REPORT.search(event["message"]) for event in events))
    if not found:
        return {}
    start, memory = max(float(match["init"]) for match in found), max(int(match["memory"]) for match in found)
    return {"functions": f"slowest start {start:.0f} ms, most memory {memory} MB"}


def _doctor(run: Run, variant: str) -> Facts:
    """Run the doctor with the settings of a variant. Raises CommandError: a check failed."""
    context = [*run.state.context, f"name={run.state.name}", *SETTINGS[variant]]
    results = list(Doctor(read_plan(context, ROOT), ROOT).results(run.state.region))
    if failed := [result for result in results if result.status == "failed" and result.code not in OWN_STEPS]:
        raise _finding(failed)
    unknown = dict.fromkeys(result.code for result in results if result.status == "unknown")
    facts = {"ok": str(sum(result.status == "ok" for result in results))}
    return facts | ({"unknown": ", ".join(unknown)} if unknown else {})


def bootstrap(run: Run) -> Facts:
    """The region has the CDK's bootstrap stack."""
    result = bootstrap_check.run(run.account)
    if result is None or result.status != "ok":
        raise _finding([result] if result else [])
    return {"found": result.message.rstrip(".")}


def _finding(failed: list[Result]) -> CommandError:
    why = "\n".join(f"{result.code}: {result.message}" for result in failed)
    fix = "\n".join(f"{result.code}: {result.remedy}" for result in failed)
    return CommandError("The account is not ready", where="easel doctor", why=why, fix=fix)


def deploy(run: Run) -> Facts:
    """All stacks are deployed, and the API answers with its key."""
    answered = run.wait("Waiting for the API", lambda: _answer(run), ANSWER_MINUTES)
    slowest = sorted(_durations(run), reverse=True)[:SLOWEST]
    facts = {"stacks": str(len(run.stack_statuses())), "endpoint": answered}
    facts |= {"easel doctor meanwhile": run.in_progress} if run.in_progress else {}
    return facts | {"slowest": ", ".join(f"{name} {seconds:.0f} s" for seconds, name in slowest)}


def _answer(run: Run) -> str | None:
    """Return the endpoint's status; None while the API refuses a new key, which takes AWS up to a minute."""
    reply = run.service.call("GET", "/health")
    return None if reply.status in (401, 403) else str(reply.expect(200).json["endpoint"]["status"])


def _durations(run: Run) -> Iterator[tuple[float, str]]:
    """Yield the seconds that each resource took to be created."""
    for stack in run.stack_statuses():
        with aws_errors():
            events = list(run.account.items("cloudformation", "describe_stack_events", "StackEvents", StackName=stack))
        began: dict[str, datetime] = {}
        for event in reversed(events):
            yield from _duration(event, began)


def _duration(event: dict[str, Any], began: dict[str, datetime]) -> Iterator[tuple[float, str]]:
    id, status, time = event["LogicalResourceId"], event["ResourceStatus"], event["Timestamp"]
    if event["ResourceType"] == "AWS::CloudFormation::Stack":
        return
    if status == "CREATE_IN_PROGRESS":
        began.setdefault(id, time)
    elif status == "CREATE_COMPLETE" and id in began:
        yield (time - began.pop(id)).total_seconds(), event["ResourceType"].removeprefix("AWS::")


def destroy(run: Run) -> Facts:
    """`cdk destroy` removes every stack."""
    return {"attempts": str(run.destroy())}


def leftovers(run: Run) -> Facts:
    """`easel leftovers` finds nothing of this run."""
    found: list[Scan] = []

    def nothing_left() -> bool:
        found[:] = [scan(run.account, [run.state.region], run.progress)]
        return not found[0].leftovers and not found[0].errors

    try:
        run.wait("Looking for leftovers", nothing_left, GONE_MINUTES, limited=False)
    except CommandError as error:
        if found and (left := [*(f"{item.type} {item.name}" for item in found[0].leftovers), *found[0].errors]):
            why, fix = "\n".join(left), f"easel leftovers --name {run.state.name} shows how to remove each"
            raise CommandError("Something is left", where=run.state.region, why=why, fix=fix) from None
        raise error
    run.state.exists = False
    return {"left": "nothing"}
