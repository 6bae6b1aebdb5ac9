"""Custom resource: makes a destroy wait until SageMaker can delete the endpoint, and logs what it waits for.

SageMaker refuses to delete an endpoint that is changing, for example by autoscaling or while `easel pause` deletes it.
"""

from __future__ import annotations

import time
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from .names import ENDPOINT_WAIT_SECONDS, MOVING_STATES, Names
from .response import RETRIES, Event, Result, continue_in_next_invocation, make_handler

POLL_SECONDS = 5


class StillMovingError(RuntimeError):
    """The endpoint is still changing: its state, and what to do."""


def handler(event: Event, context: Any) -> None:
    make_handler(keep, delete=lambda event: wait(event, context))(event, context)


def keep(event: Event) -> Result:
    """Do nothing on create and update. The physical id is the endpoint, so a new endpoint deletes the old resource."""
    return event["ResourceProperties"]["Endpoint"], {}


def wait(event: Event, context: Any) -> Result | None:
    """Wait until the endpoint is in no moving state, does not exist or cannot be read.

    Returns None if another invocation continues. Raises StillMovingError.
    """
    endpoint = event["ResourceProperties"]["Endpoint"]
    since = float(event.get("Since") or time.time())
    while (status := endpoint_status(endpoint)) in MOVING_STATES:
        waited = time.time() - since
        print(f"{endpoint} is {status}, so SageMaker does not delete it yet. Waiting, {waited:.0f} s so far")
        if waited > ENDPOINT_WAIT_SECONDS:
            text = (
                f"The endpoint is still {status} after {waited / 60:.0f} minutes, and SageMaker cannot delete it in "
                "this state. It exists, and its instances are billed. Run `easel doctor` until the endpoint has "
                "another state, then: npx cdk destroy --all"
            )
            raise StillMovingError(Names(event["ResourceProperties"]["Name"]).in_commands(text))
        if continue_in_next_invocation(event, context, Since=since):
            return None
        time.sleep(POLL_SECONDS)
    print(f"{endpoint} is {status or 'gone'}: its deletion continues")
    return event["PhysicalResourceId"], {}


def endpoint_status(endpoint: str) -> str:
    """Return the endpoint's status; empty if it does not exist, "unknown" if it cannot be read.

    Without the right to read it, for example if somebody removed it by hand, waiting would block the deletion of the
    stack for ever, and the endpoint would be billed.
    """
    try:
        description = boto3.client("sagemaker", config=RETRIES).describe_endpoint(EndpointName=endpoint)
    except (BotoCoreError, ClientError) as error:
        if "Could not find" in str(error):
            return ""
        print(f"{endpoint}: {error}")
        return "unknown"
    return str(description["EndpointStatus"])
