"""Deletes an endpoint that nobody has called for hours; `easel resume` brings it back. Invoked by a clock."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore.exceptions import ClientError

SUBJECT = "Easel: the endpoint was taken down"
TEXT = (
    "Nobody called {endpoint} for {hours:g} hours, so it was deleted and costs nothing now.\n"
    "Bring it back with: easel resume\n"
    "Other hours: npx cdk deploy EaselModel -c idle_hours=12 (0: never), with the settings that you deployed with."
)


def handler(event: Any, context: Any) -> str:
    """What was found, and done, for the log: missing, moving, young, called or deleted."""
    endpoint, hours = os.environ["EASEL_ENDPOINT"], float(os.environ["EASEL_IDLE_HOURS"])
    outcome = _look(endpoint, os.environ["EASEL_VARIANT"], timedelta(hours=hours))
    if outcome == "deleted":
        text = TEXT.format(endpoint=endpoint, hours=hours)
        boto3.client("sns").publish(TopicArn=os.environ["EASEL_ALERTS"], Subject=SUBJECT, Message=text)
    print(f"{endpoint}: {outcome}")
    return outcome


def _look(endpoint: str, variant: str, patience: timedelta) -> str:
    sagemaker = boto3.client("sagemaker")
    try:
        found = sagemaker.describe_endpoint(EndpointName=endpoint)
    except ClientError as error:
        if "Could not find" in str(error):
            return "missing"
        raise
    now = datetime.now(UTC)
    if found["EndpointStatus"] != "InService":
        return "moving"
    if now - found["LastModifiedTime"] < patience:
        return "young"
    if _calls(endpoint, variant, now - patience, now):
        return "called"
    sagemaker.delete_endpoint(EndpointName=endpoint)
    return "deleted"


def _calls(endpoint: str, variant: str, since: datetime, until: datetime) -> float:
    """No call leaves no datapoint."""
    told = boto3.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName="Invocations",
        Dimensions=[{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}],
        StartTime=since,
        EndTime=until,
        Period=3600,
        Statistics=["Sum"],
    )
    return sum(float(point["Sum"]) for point in told["Datapoints"])
