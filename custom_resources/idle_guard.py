"""Scheduled function: deletes an endpoint that got no request for hours. `easel resume` creates it again."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore.exceptions import ClientError

from .names import IN_SERVICE, Names

SUBJECT = "{prefix}: the idle endpoint was deleted"
TEXT = (
    "The endpoint {endpoint} got no request for {hours:g} hours, so it was deleted and is no longer billed.\n"
    "To create it again: easel resume\n"
    "To change the hours: npx cdk deploy EaselModel -c idle_hours=12 (0: never), with the settings of your last deploy."
)


def handler(event: Any, context: Any) -> str:
    """Check the endpoint. Return and log what was found or done: missing, moving, young, called or deleted."""
    endpoint, hours = os.environ["EASEL_ENDPOINT"], float(os.environ["EASEL_IDLE_HOURS"])
    outcome = _delete_if_idle(endpoint, os.environ["EASEL_VARIANT"], timedelta(hours=hours))
    if outcome == "deleted":
        names = Names(os.environ["EASEL_NAME"])
        subject, text = SUBJECT.format(prefix=names.prefix), TEXT.format(endpoint=endpoint, hours=hours)
        message = names.in_commands(text)
        boto3.client("sns").publish(TopicArn=os.environ["EASEL_ALERTS"], Subject=subject, Message=message)
    print(f"{endpoint}: {outcome}")
    return outcome


def _delete_if_idle(endpoint: str, variant: str, limit: timedelta) -> str:
    sagemaker = boto3.client("sagemaker")
    try:
        found = sagemaker.describe_endpoint(EndpointName=endpoint)
    except ClientError as error:
        if "Could not find" in str(error):
            return "missing"
        raise
    now = datetime.now(UTC)
    if found["EndpointStatus"] != IN_SERVICE:
        return "moving"
    if now - found["LastModifiedTime"] < limit:
        return "young"
    if _requests(endpoint, variant, now - limit, now):
        return "called"
    sagemaker.delete_endpoint(EndpointName=endpoint)
    return "deleted"


def _requests(endpoint: str, variant: str, since: datetime, until: datetime) -> float:
    """Return how many requests the endpoint got. Without requests the metric has no data points."""
    statistics = boto3.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName="Invocations",
        Dimensions=[{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}],
        StartTime=since,
        EndTime=until,
        Period=3600,
        Statistics=["Sum"],
    )
    return sum(float(point["Sum"]) for point in statistics["Datapoints"])
