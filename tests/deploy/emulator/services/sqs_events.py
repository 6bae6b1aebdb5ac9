"""Rules for a function that gets the messages of a queue, which MiniStack 1.5.33 does not know.

Its poller plays the rest as AWS does: visibility timeout, receive count, dead-letter queue, partial batch failures and
MaximumConcurrency. Source: Lambda's developer guide, "Creating and configuring an Amazon SQS event source mapping".
"""

from collections.abc import Callable
from typing import Any

from ministack.services import lambda_svc, sqs

from ..aws_api import identity
from ..aws_api.service import Parameters, ServiceError

Create = Callable[[str, Parameters, str], tuple[str, Parameters]]
NEEDED = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")


def check_queue(create: Create) -> Create:
    """Refuse a mapping whose role may not read the queue, or whose messages would return while the function runs."""

    def create_if_allowed(logical_id: str, properties: Parameters, stack: str) -> tuple[str, Parameters]:
        arn, config = properties["EventSourceArn"], _function(properties["FunctionName"])
        for action in NEEDED:
            try:
                identity.check_permissions(config["Role"], [(f"sqs:{action}", arn, {})], "lambda.amazonaws.com")
            except ServiceError:
                raise ValueError(
                    f"The function execution role does not have permissions to call {action} on SQS"
                ) from None
        queue = sqs._queue_by_arn(arn)
        assert queue, arn
        hidden, seconds = int(queue["attributes"]["VisibilityTimeout"]), int(config["Timeout"])
        if hidden < seconds:
            raise ValueError(f"Queue visibility timeout: {hidden} seconds is less than Function timeout: {seconds}")
        return create(logical_id, properties, stack)

    return create_if_allowed


def _function(reference: str) -> dict[str, Any]:
    config: dict[str, Any] = lambda_svc._functions[reference.rpartition(":")[2]]["config"]
    return config
