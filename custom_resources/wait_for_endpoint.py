"""Custom resource: lets a destroy wait until SageMaker can delete the endpoint, and says in its log what it waits for.

Of an endpoint on its way to another state, as when autoscaling changes it, SageMaker refuses the deletion; also of one
that is being deleted already, as by `easel pause`.
"""

from __future__ import annotations

import time
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from .response import PATIENT, Event, Made, answering, handed_over

MOVING = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
POLL_SECONDS = 5
LIMIT_SECONDS = 50 * 60
"""CloudFormation waits an hour for a custom resource."""


class StillMovingError(RuntimeError):
    """What SageMaker is still at, and what to do."""


def handler(event: Event, context: Any) -> None:
    answering(stand_by, wait=lambda event: wait(event, context))(event, context)


def stand_by(event: Event) -> Made:
    """Nothing to do while the endpoint is needed. With another endpoint comes another one, and this one goes."""
    return event["ResourceProperties"]["Endpoint"], {}


def wait(event: Event, context: Any) -> Made | None:
    """Ends when the endpoint is at rest, gone or not to be seen; None: another run of this function waits. Raises
    StillMovingError."""
    endpoint = event["ResourceProperties"]["Endpoint"]
    since = float(event.get("Since") or time.time())
    while (status := state(endpoint)) in MOVING:
        waited = time.time() - since
        print(
            f"{endpoint} is {status}: SageMaker deletes no endpoint before that has ended. "
            f"Waiting, {waited:.0f} s so far"
        )
        if waited > LIMIT_SECONDS:
            raise StillMovingError(
                f"The endpoint is still {status} after {waited / 60:.0f} minutes, and SageMaker deletes none before "
                "that has ended. It is there, and billed while its instances run. When `easel doctor` says that it has "
                "settled: npx cdk destroy --all"
            )
        if handed_over(event, context, Since=since):
            return None
        time.sleep(POLL_SECONDS)
    print(f"{endpoint} is {status or 'gone'}: its deletion goes on")
    return event["PhysicalResourceId"], {}


def state(endpoint: str) -> str:
    """Empty where there is no such endpoint. Where nobody may look at it, as once the right to was taken away by hand,
    a stack that waited could never be deleted, and its endpoint would be billed."""
    try:
        told = boto3.client("sagemaker", config=PATIENT).describe_endpoint(EndpointName=endpoint)
    except (BotoCoreError, ClientError) as error:
        if "Could not find" in str(error):
            return ""
        print(f"{endpoint}: {error}")
        return "not to be seen"
    return str(told["EndpointStatus"])
