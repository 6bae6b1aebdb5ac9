"""What `easel doctor` asks AWS once Easel is deployed: stacks, endpoint, alarms, and the container's last words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from easel.cloud.account import Account, explained, missing
from easel.cloud.doctor.check import Check
from easel.cloud.doctor.plan import Plan
from easel.cloud.known_failures import hint_for
from easel.cloud.pause import MOVING
from easel.cloud.stack_state import ANEW, STACK, STACKS, Deployed, newest, outputs_of, resources_of, stack_status
from easel.console.errors import CommandError

OURS = tuple(f"{name}-" for name in STACKS)
"""So begins what CloudFormation names after our stacks."""
STORAGE, BUCKET = "EaselStorage", "AWS::S3::Bucket"
UNMADE = "REVIEW_IN_PROGRESS"
"""Nothing goes on, whatever it is called: a change set that nobody ran."""
HARMLESS = "Nothing to do."
"""So ends the description of an alarm that is part of the machinery."""
STARTS = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS")
"""So begins what somebody asked of a stack; a way back does not."""
IMPORT, IMPORT_LOG = "Custom::EaselImport", "/easel/EaselModel/import"
STREAMS, LOG_LINES, SHOWN = 50, 50, 5
CALLS_LOG = "/data-log"
"""So ends SageMaker's own log of an async endpoint's calls, which lies beside each container's:
https://docs.aws.amazon.com/sagemaker/latest/dg/logging-cloudwatch.html"""


def stacks(account: Account) -> Check | None:
    """None where nothing is deployed."""
    with explained():
        found = [
            one for one in account.all("cloudformation", "describe_stacks", "Stacks")
            if one["StackName"] in STACKS
        ]  # fmt: skip
    if not found:
        return None
    for one in found:
        if one["StackStatus"] == UNMADE:
            said = f"{one['StackName']} is {UNMADE}: its first deploy was prepared, and not run."
            return Check("stacks", "failed", said, "npx cdk deploy --all")
        if one["StackStatus"].endswith("_IN_PROGRESS"):
            return _moving(account, one)
        if "FAILED" in one["StackStatus"] or "ROLLBACK" in one["StackStatus"]:
            return _broken(account, one)
    return Check("stacks", "ok", f"Deployed: {', '.join(sorted(one['StackName'] for one in found))}.")


def _moving(account: Account, stack: dict[str, Any]) -> Check:
    """What it is at for longest, how long, and of an import how far."""
    said, wait = f"{stack['StackName']} is {stack['StackStatus']}", "Wait until it has ended"
    listed = resources_of(account, stack["StackName"])
    at = [one for one in listed if one["ResourceStatus"].endswith("_IN_PROGRESS")]
    if not at:
        return Check("stacks", "unknown", f"{said}.", wait)
    longest = min(at, key=lambda one: one["LastUpdatedTimestamp"])
    minutes = (datetime.now(UTC) - longest["LastUpdatedTimestamp"]).total_seconds() / 60
    said += f", at {longest['LogicalResourceId']} for {minutes:.0f} min."
    lines = _last_lines(account, IMPORT_LOG) if longest["ResourceType"] == IMPORT else []
    return Check("stacks", "unknown", said, wait, tuple(line for _, line in lines[-1:]))


def _broken(account: Account, stack: dict[str, Any]) -> Check:
    why = first_failure(account, stack["StackId"] if "StackId" in stack else stack["StackName"])
    said = f"{stack['StackName']} is {stack['StackStatus']}{f': {why}' if why else ''}."
    hint = hint_for(why)
    if stack["StackStatus"] in ("DELETE_FAILED", "UPDATE_ROLLBACK_FAILED") and "cdk deploy" in hint:
        hint = ""  # CloudFormation takes none there
    return Check("stacks", "failed", said, hint or _way_out(stack["StackName"], stack["StackStatus"]))


def _way_out(name: str, status: str) -> str:
    """Which of its commands CloudFormation takes in this state."""
    if status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"):
        return f"npx cdk destroy {name}, then deploy again"
    if status == "DELETE_FAILED":
        forced = f"aws cloudformation delete-stack --stack-name {name} --deletion-mode FORCE_DELETE_STACK"
        return (
            f"npx cdk destroy --all again, when the reason is gone. If it stays, {forced} deletes the stack without "
            "what it cannot delete; then easel leftovers"
        )
    if status == "UPDATE_ROLLBACK_FAILED":
        return f"npx cdk rollback {name}, when the reason is gone, or else with --force; then deploy again"
    return "npx cdk deploy --all again, when the reason is gone"


def first_failure(account: Account, stack: str) -> str:
    """What failed first in the last deploy; all that follows was cancelled because of it."""
    first = ""
    with explained():
        for event in account.all("cloudformation", "describe_stack_events", "StackEvents", StackName=stack):
            reason, status = event.get("ResourceStatusReason", ""), event["ResourceStatus"]
            if status.endswith("_FAILED") and "cancelled" not in reason:
                first = f"{event['LogicalResourceId']}: {reason}"
            if event["ResourceType"] == "AWS::CloudFormation::Stack" and status in STARTS:
                break
    return first.rstrip(".")


def change(account: Account, plan: Plan) -> Check | None:
    """Whether a deploy with these settings, one of which may have been left off, brings another endpoint."""
    told = outputs_of(account).get(STACK, {})
    mode = re.match(r"easel-(async|realtime)", told.get("EndpointName", ""))
    has = {"model": told.get("Model"), "mode": mode and mode[1]}
    comes = {"model": plan.model and plan.model.id, "mode": plan.settings.mode}
    other = [key for key in has if has[key] and comes[key] and has[key] != comes[key]]
    if not other:
        return None
    said = ", ".join(f"{key} {comes[key]} in the place of {has[key]}" for key in other)
    keep = " ".join(f"-c {key}={has[key]}" for key in other)
    return Check("change", "ok", f"A deploy with these settings brings {said}.", f"To keep what is there: {keep}")


def encryption(account: Account, plan: Plan) -> Check | None:
    """Whether the next deploy would take from our roles the key of what is there; None where it would not."""
    if stack_status(account, STORAGE) is None or not (bucket := newest(resources_of(account, STORAGE), BUCKET)):
        return None
    with explained():
        told = account.client("s3").get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    used = {rule.get("ApplyServerSideEncryptionByDefault", {}).get("KMSMasterKeyID", "") for rule in told["Rules"]}
    if not (lost := used - {"", plan.settings.kms_key_arn}):
        return None
    key = lost.pop()
    named = "another one" if plan.settings.kms_key_arn else "none"
    said = f"The bucket is encrypted with {key}; the settings name {named}: a deploy makes what is there unreadable."
    return Check("encryption", "failed", said, f"-c kms_key_arn={key}, or destroy first: docs/options.md, KMS key")


def endpoint(account: Account, deployed: Deployed) -> Check:
    """SageMaker takes an update back without a word: then the old configuration is InService."""
    try:
        with explained():
            told = account.client("sagemaker").describe_endpoint(EndpointName=deployed.endpoint)
    except CommandError as error:
        if missing(error):
            said = f"{deployed.endpoint} does not exist: it is paused, or somebody deleted it."
            return Check("endpoint", "failed", said, _anew(deployed, there=False))
        raise
    status, runs, reason = told["EndpointStatus"], told.get("EndpointConfigName", ""), told.get("FailureReason", "")
    why = hint_for(reason) or "Read its log below."
    if status in MOVING:
        return Check("endpoint", "unknown", f"{deployed.endpoint} is {status}.", "Wait some minutes, then look again")
    if status != "InService":
        said = f"{deployed.endpoint} is {status}{f': {reason}' if reason else ''}."
        return Check("endpoint", "failed", said, f"{why} Then {_anew(deployed, there=False)}")
    if runs != deployed.config:
        said = f"It runs {runs}, though {deployed.config} was deployed: SageMaker took the update back."
        fix = f"{why} Then npx cdk deploy --all, if you mended something; if not, {_anew(deployed, there=True)}"
        return Check("endpoint", "failed", said, fix)
    return Check("endpoint", "ok", f"It is InService with {runs}, as deployed; {_instances(told)}.")


def _anew(deployed: Deployed, *, there: bool) -> str:
    """What makes the endpoint as it was deployed; a deploy that changes nothing does nothing."""
    if deployed.endpoint.startswith("easel-async"):
        return ANEW
    return "easel pause, then easel resume" if there else "easel resume"


def _instances(told: dict[str, Any]) -> str:
    count = sum(variant.get("CurrentInstanceCount", 0) for variant in told.get("ProductionVariants", ()))
    return f"{count} {'instance runs' if count == 1 else 'instances run'}"


def alarms(account: Account) -> Check:
    """Ours by name; those of target tracking and of the wake-up ring as they work."""
    with explained():
        ringing = [
            alarm for alarm in account.all("cloudwatch", "describe_alarms", "MetricAlarms", StateValue="ALARM")
            if alarm["AlarmName"].startswith(OURS)
            and not alarm.get("AlarmDescription", "").endswith(HARMLESS)
        ]  # fmt: skip
    if not ringing:
        return Check("alarms", "ok", "No alarm rings.")
    names = ", ".join(alarm["AlarmName"] for alarm in ringing)
    fix = ringing[0].get("AlarmDescription") or "Look at it in CloudWatch"
    return Check("alarms", "failed", f"{len(ringing)} in ALARM: {names}.", fix)


def log(account: Account, deployed: Deployed) -> Check:
    """The newest lines of the endpoint's containers, held against the known failures."""
    lines = _last_lines(account, f"/aws/sagemaker/Endpoints/{deployed.endpoint}")
    if not lines:
        return Check("log", "unknown", "The container has written nothing yet.", "Look again when the endpoint started")
    shown = tuple(line for _, line in lines[-SHOWN:])
    known = [(when, line) for when, line in lines if hint_for(line)]
    if not known:
        return Check("log", "ok", f"The last {len(lines)} lines of the container hold no known failure.")
    when, line = known[-1]
    said = f"At {when:%Y-%m-%d %H:%M} UTC the container said: {line[:200]}"
    return Check("log", "failed", said, hint_for(line), shown)


def _last_lines(account: Account, group: str) -> list[tuple[datetime, str]]:
    """Of the newest stream of a container or a build; none where there is no such group yet."""
    try:
        with explained():
            return list(_newest_events(account, group))
    except CommandError as error:
        if error.where != "ResourceNotFoundException":
            raise
        return []


def _newest_events(account: Account, group: str) -> Iterator[tuple[datetime, str]]:
    logs = account.client("logs")
    newest = logs.describe_log_streams(logGroupName=group, orderBy="LastEventTime", descending=True, limit=STREAMS)
    names = [name for one in newest["logStreams"] if not (name := one["logStreamName"]).endswith(CALLS_LOG)]
    for name in names[:1]:
        events = logs.get_log_events(logGroupName=group, logStreamName=name, limit=LOG_LINES, startFromHead=False)
        for event in events["events"]:
            yield datetime.fromtimestamp(event["timestamp"] / 1000, UTC), event["message"].rstrip()
