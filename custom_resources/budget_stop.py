"""Function: stops the endpoint when the month's budget is used up, and keeps it stopped until `easel resume`.

The budget's notification creates the marker, an object in the bucket, which ends the intake of jobs. Everything after
it is repeated on a schedule for as long as the marker exists: a change of the endpoint that could not be stopped, and a
deploy that started an instance again.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from .names import MOVING_STATES, STOP_MARKER, Names
from .objects import read_object

SUBJECT = "{prefix}: the budget is used up, {state}"
TEXT = (
    "The month's budget of {usd} USD for SageMaker is used up. Easel accepts no more jobs. {outcomes} It stays without "
    "instances, also in the next month and after a deploy, until you run: easel resume\n"
    "AWS Budgets sends this notification once a month. To be stopped again in this month, set a higher budget_usd."
)
OUTCOMES = {
    "stopped": "stopping",
    "empty": "without instances",
    "deleted": "being deleted",
    "missing": "not there: it was paused before",
    "moving": "being changed by SageMaker; it is stopped within minutes after that",
    "failed": "still there: it could not be stopped, which is tried again every five minutes",
}
"""What became of the endpoint, and how the mail says it."""


def handler(event: Any, context: Any) -> str:
    """Handle the budget's notification, or a check of the schedule. Return and log what was found or done."""
    endpoints, bucket = os.environ["EASEL_ENDPOINTS"].split(","), os.environ["EASEL_BUCKET"]
    notified = "Records" in event
    if notified:
        _create_marker(bucket)
    elif read_object(bucket, STOP_MARKER) is None:
        return "not stopped"
    outcomes, errors = dict[str, str](), []
    for endpoint in endpoints:
        try:
            outcomes[endpoint] = _stop(endpoint)
            print(f"{endpoint}: {outcomes[endpoint]}")
        except (BotoCoreError, ClientError) as error:  # the others are stopped nevertheless
            outcomes[endpoint] = "failed"
            errors.append(error)
            print(f"{endpoint}: {error}")
    if notified:
        _send_mail(outcomes)
    elif errors:  # not after a mail, or Lambda would repeat the event and the mail with it
        raise errors[0]
    return ", ".join(outcomes.values())


def _create_marker(bucket: str) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    body = json.dumps({"stopped_at": now, "budget_usd": int(os.environ["EASEL_BUDGET_USD"])}).encode()
    boto3.client("s3").put_object(Bucket=bucket, Key=STOP_MARKER, Body=body, ContentType="application/json")


def _stop(endpoint: str) -> str:
    """Take all instances from the endpoint, now or in a later check. Return a key of `OUTCOMES`."""
    sagemaker, mode = boto3.client("sagemaker"), os.environ["EASEL_MODE"]
    try:
        found = sagemaker.describe_endpoint(EndpointName=endpoint)
    except ClientError as error:
        if "Could not find" in str(error):
            return "missing"
        raise
    if mode == "async":
        _suspend_scaling(endpoint)
    if found["EndpointStatus"] in MOVING_STATES:
        return "moving"
    if mode == "realtime":  # it cannot scale to zero
        sagemaker.delete_endpoint(EndpointName=endpoint)
        return "deleted"
    if not any(variant.get("CurrentInstanceCount") for variant in found.get("ProductionVariants", ())):
        return "empty"
    none = {"VariantName": os.environ["EASEL_VARIANT"], "DesiredInstanceCount": 0}
    sagemaker.update_endpoint_weights_and_capacities(EndpointName=endpoint, DesiredWeightsAndCapacities=[none])
    return "stopped"


def _suspend_scaling(endpoint: str) -> None:
    """Let no alarm and no minimum start an instance. A deploy that changes the limits leaves this as it is."""
    kinds = ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended")
    boto3.client("application-autoscaling").register_scalable_target(
        ServiceNamespace="sagemaker",
        ResourceId=f"endpoint/{endpoint}/variant/{os.environ['EASEL_VARIANT']}",
        ScalableDimension="sagemaker:variant:DesiredInstanceCount",
        MinCapacity=0,
        SuspendedState=dict.fromkeys(kinds, True),
    )


def _send_mail(outcomes: dict[str, str]) -> None:
    names = Names(os.environ["EASEL_NAME"])
    failed = [endpoint for endpoint, outcome in outcomes.items() if outcome == "failed"]
    state = f"{len(failed)} of {len(outcomes)} endpoints not stopped" if failed else "the endpoint is stopped"
    sentences = " ".join(f"The endpoint {endpoint} is {OUTCOMES[outcome]}." for endpoint, outcome in outcomes.items())
    text = TEXT.format(usd=os.environ["EASEL_BUDGET_USD"], outcomes=sentences)
    boto3.client("sns").publish(
        TopicArn=os.environ["EASEL_ALERTS"],
        Subject=SUBJECT.format(prefix=names.prefix, state=state),
        Message=names.in_commands(text),
    )
