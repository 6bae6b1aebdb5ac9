"""The queue in SQS: what stays, what leaves, and when it comes back. With moto's SQS."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from fakes import FakeTelemetry
from moto import mock_aws

from aws.webhook_queue import BatchHandler, SqsQueue
from contract import EaselError
from jobs.ports import Ticket

TICKETS = [Ticket("0123456789abcdef", str(i) * 44) for i in range(4)]


class Queue:
    """A queue of moto, and a function that gets batches of it as Lambda sends them."""

    def __init__(self) -> None:
        self.sqs = boto3.client("sqs")
        self.url = self.sqs.create_queue(QueueName="webhooks", Attributes={"VisibilityTimeout": "0"})["QueueUrl"]
        self.queue, self.telemetry = SqsQueue(self.url), FakeTelemetry()
        self.results: dict[Ticket, float | Exception | None] = {}
        self.delivered: list[tuple[Ticket, str]] = []

    def deliver(self, ticket: Ticket, event: str) -> float | None:
        self.delivered.append((ticket, event))
        result = self.results.get(ticket)
        if isinstance(result, Exception):
            raise result
        return result

    def invoke(self) -> list[str]:
        """Receive a batch, call the function, and delete what it does not return. Return the bodies that stay."""
        messages = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages", [])
        records = [
            {"messageId": message["MessageId"], "receiptHandle": message["ReceiptHandle"], "body": message["Body"]}
            for message in messages
        ]
        handler = BatchHandler(self.queue, self.deliver, self.telemetry)  # type: ignore[arg-type]
        kept = {item["itemIdentifier"] for item in handler.handle({"Records": records})["batchItemFailures"]}
        for message in messages:
            if message["MessageId"] not in kept:
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return [message["Body"] for message in messages if message["MessageId"] in kept]

    def count(self, state: str = "") -> int:
        name = f"ApproximateNumberOfMessages{state}"
        found: Any = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=[name])
        return int(found["Attributes"][name])


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        yield Queue()


def test_a_message_has_the_event_and_no_url(queue: Queue) -> None:
    queue.queue.put(TICKETS[0], "completed")
    (message,) = queue.sqs.receive_message(QueueUrl=queue.url)["Messages"]
    assert json.loads(message["Body"]) == {"owner": TICKETS[0].owner, "id": TICKETS[0].id, "event": "completed"}


def test_of_a_batch_only_what_failed_stays(queue: Queue) -> None:
    for ticket in TICKETS:
        queue.queue.put(ticket, "completed")
    queue.results = {TICKETS[1]: 300.5, TICKETS[2]: EaselError("upstream_error", "the store failed")}
    kept = queue.invoke()
    assert {json.loads(body)["id"] for body in kept} == {TICKETS[1].id, TICKETS[2].id}
    assert len(queue.delivered) == 4
    assert [type(error) for error in queue.telemetry.crashes] == [EaselError]
    assert (queue.count("NotVisible"), queue.count()) == (1, 1), "hidden until its next attempt; at once"


@pytest.mark.parametrize(
    "body",
    ["", "{", "[]", "null", "{}", '{"owner": "x", "id": "y", "event": "z"}', '{"owner": 5, "id": [], "event": 1}'],
)
def test_a_message_that_is_no_event_leaves_the_queue(queue: Queue, body: str) -> None:
    handler = BatchHandler(queue.queue, queue.deliver, queue.telemetry)  # type: ignore[arg-type]
    record = {"messageId": "m", "receiptHandle": "r", "body": body}
    assert handler.handle({"Records": [record]}) == {"batchItemFailures": []}
    assert (queue.delivered, queue.telemetry.ignores) == ([], ["not an event of a job"])


def test_an_attempt_whose_message_cannot_be_hidden_stays(queue: Queue) -> None:
    queue.results = {TICKETS[0]: 30}
    handler = BatchHandler(queue.queue, queue.deliver, queue.telemetry)  # type: ignore[arg-type]
    body = json.dumps({"owner": TICKETS[0].owner, "id": TICKETS[0].id, "event": "completed"})
    record = {"messageId": "m", "receiptHandle": "gone", "body": body}
    assert handler.handle({"Records": [record]}) == {"batchItemFailures": [{"itemIdentifier": "m"}]}


@pytest.mark.parametrize("event", [None, [], {}, {"Records": []}, {"Records": "x"}, {"httpMethod": "GET"}])
def test_other_events_are_errors(queue: Queue, event: Any) -> None:
    handler = BatchHandler(queue.queue, queue.deliver, queue.telemetry)  # type: ignore[arg-type]
    with pytest.raises(EaselError):
        handler.handle(event)


def test_a_queue_that_does_not_exist_is_an_error_of_the_service(queue: Queue) -> None:
    with pytest.raises(EaselError) as error:
        SqsQueue(f"{queue.url}-gone").put(TICKETS[0], "completed")
    assert error.value.code == "config_error"
