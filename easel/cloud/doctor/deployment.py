"""Checks of what CloudFormation has deployed: stacks and alarms."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from easel.cloud.account import Account, aws_errors
from easel.cloud.doctor.check import Finding, check, failed, ok, unknown
from easel.cloud.doctor.container_log import find_failed_start, import_log, last_lines
from easel.cloud.known_failures import advice_for
from easel.cloud.stack_state import DEPLOY_UNLESS_RUNNING, resources_of
from stacks.config.names import IMPORT_RESOURCE, INFORMATIONAL_TAG

NOT_CREATED = "REVIEW_IN_PROGRESS"
"""A stack whose first change set is not executed yet. Unlike other IN_PROGRESS states it may not end by itself."""
OPERATION_STARTS = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS")
"""Stack events that begin an operation; a rollback belongs to the operation before it."""
WAIT = "Wait until CloudFormation has finished."
SHOWN_LINES = 10
DEPLOY_AGAIN = "After you have removed the cause: npx cdk deploy --all"


@check("stacks", remedy="Depends on the status: wait, deploy, roll back or destroy.")
def stacks(account: Account) -> Finding | None:
    """No stack has failed or is being changed.

    Return None if nothing is deployed.
    """
    with aws_errors():
        deployed = [
            stack for stack in account.items("cloudformation", "describe_stacks", "Stacks")
            if stack["StackName"] in account.names.stacks
        ]  # fmt: skip
    if not deployed:
        return None
    for stack in deployed:
        if stack["StackStatus"] == NOT_CREATED:
            message = f"{stack['StackName']} is {NOT_CREATED}: its first deploy is prepared but not executed yet."
            return unknown(message, DEPLOY_UNLESS_RUNNING)
        if stack["StackStatus"].endswith("_IN_PROGRESS"):
            return _in_progress(account, stack)
        if "FAILED" in stack["StackStatus"] or "ROLLBACK" in stack["StackStatus"]:
            return _failed_stack(account, stack)
    return ok(f"Deployed: {', '.join(sorted(stack['StackName'] for stack in deployed))}.")


def _in_progress(account: Account, stack: dict[str, Any]) -> Finding:
    """Name the resource that takes longest; for a model import, show its progress."""
    message = f"{stack['StackName']} is {stack['StackStatus']}"
    resources = resources_of(account, stack["StackName"])
    changing = [resource for resource in resources if resource["ResourceStatus"].endswith("_IN_PROGRESS")]
    if not changing:
        return unknown(f"{message}.", WAIT)
    longest = min(changing, key=lambda resource: resource["LastUpdatedTimestamp"])
    minutes = (datetime.now(UTC) - longest["LastUpdatedTimestamp"]).total_seconds() / 60
    message += f"; {longest['LogicalResourceId']} has been changing for {minutes:.0f} min."
    importing = longest["ResourceType"] == IMPORT_RESOURCE
    lines = last_lines(account, import_log(account, longest["LogicalResourceId"])) if importing else []
    return Finding("unknown", message, WAIT, tuple(line for _, line in lines[-1:]))


def _failed_stack(account: Account, stack: dict[str, Any]) -> Finding:
    name, status = stack["StackName"], stack["StackStatus"]
    reason = first_failure(account, stack.get("StackId", name))
    since = stack.get("LastUpdatedTime", stack["CreationTime"])
    start = find_failed_start(account, since) if name == account.names.model else None
    advice = start.advice or "The lines below have the cause." if start else advice_for(reason)
    if status in ("DELETE_FAILED", "UPDATE_ROLLBACK_FAILED") and "cdk deploy" in advice:
        advice = ""  # CloudFormation accepts no deploy in these states
    message, remedy = f"{name} is {status}{f': {reason}' if reason else ''}.", _stack_remedy(name, status)
    if not start:
        return failed(message, advice or remedy)
    message += f" The endpoint did not start; the end of its container's log is in {start.uri}."
    remedy = f"{advice} Then: {remedy}" if advice else remedy
    return Finding("failed", message, remedy, start.lines[-SHOWN_LINES:])


def _stack_remedy(name: str, status: str) -> str:
    """Return a command that CloudFormation accepts in this state."""
    if status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"):
        return f"npx cdk destroy {name}, then npx cdk deploy --all"
    if status == "DELETE_FAILED":
        force = f"aws cloudformation delete-stack --stack-name {name} --deletion-mode FORCE_DELETE_STACK"
        return (
            "After you have removed the cause: npx cdk destroy --all. If you cannot remove it, this command deletes "
            f"the stack and keeps the resources that cannot be deleted: {force}. Then run easel leftovers."
        )
    if status == "UPDATE_ROLLBACK_FAILED":
        return f"After you have removed the cause: npx cdk rollback {name} (or with --force), then npx cdk deploy --all"
    return DEPLOY_AGAIN


def first_failure(account: Account, stack: str) -> str:
    """Return the resource that failed first in the last operation, with the reason. Later failures follow from it."""
    first = ""
    with aws_errors():
        for event in account.items("cloudformation", "describe_stack_events", "StackEvents", StackName=stack):
            reason, status = event.get("ResourceStatusReason", ""), event["ResourceStatus"]
            if status.endswith("_FAILED") and "cancelled" not in reason:
                first = f"{event['LogicalResourceId']}: {reason}"
            if event["ResourceType"] == "AWS::CloudFormation::Stack" and status in OPERATION_STARTS:
                break
    return first.rstrip(".")


@check("alarms", remedy="The description of each alarm says what to do.")
def alarms(account: Account) -> Finding:
    """No alarm of Easel is in state ALARM, apart from those whose tag says that they need no action."""
    prefixes = tuple(f"{stack}-" for stack in account.names.stacks)  # of names that CloudFormation gives
    with aws_errors():
        active = [
            alarm for alarm in account.items("cloudwatch", "describe_alarms", "MetricAlarms", StateValue="ALARM")
            if alarm["AlarmName"].startswith(prefixes) and not _is_informational(account, alarm["AlarmArn"])
        ]  # fmt: skip
    if not active:
        return ok("No alarm is active.")
    names = ", ".join(alarm["AlarmName"] for alarm in active)
    remedy = active[0].get("AlarmDescription") or "Look at the alarm in CloudWatch."
    return failed(f"{len(active)} in state ALARM: {names}.", remedy)


def _is_informational(account: Account, arn: str) -> bool:
    tags = account.client("cloudwatch").list_tags_for_resource(ResourceARN=arn)["Tags"]
    return any(tag["Key"] == INFORMATIONAL_TAG for tag in tags)
