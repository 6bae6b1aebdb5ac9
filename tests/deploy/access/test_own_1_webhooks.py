"""Emulator test of webhooks: queue, function, retries and the dead-letter queue. Not run on AWS."""

import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.deploy.conftest import KeyDeployment
from tests.deploy.harness.constants import REQUEST
from tests.deploy.harness.deployment import wait_until
from tests.deploy.harness.storage import open_bucket

pytestmark = [pytest.mark.xdist_group("own_account"), pytest.mark.timeout(1800)]

PUBLIC, PRIVATE = "93.184.215.14", "10.0.0.5"
URL = "https://hooks.example.com/hook?token=secret"


@dataclass
class Receiver:
    """Keeps what was received. `statuses`: of the next responses; then 204."""

    port: int = 0
    statuses: list[int] = field(default_factory=list)
    received: list[tuple[dict[str, str], str]] = field(default_factory=list)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                receiver.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Write no log."""

        return Handler


@pytest.fixture
def receiver(own_account: KeyDeployment) -> Iterator[Receiver]:
    account, receiver = own_account.account, Receiver()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(account.certificate, account.folder / "key.pem")
    with ThreadingHTTPServer(("127.0.0.1", 0), receiver.handler()) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        receiver.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        with account.internet(hooks=(PUBLIC, receiver.port), inside=(PRIVATE, receiver.port)):
            yield receiver
        server.shutdown()


def delivery_of(deployment: KeyDeployment, url: str) -> dict[str, Any]:
    """Return a job with a webhook, as soon as its delivery has ended."""
    job = deployment.api.generate_job({**REQUEST, "webhook": url})
    path = job["urls"]["get"]

    def ended() -> bool:
        deliveries = deployment.api.call("GET", path).json["webhook"]["deliveries"]
        return bool(deliveries) and deliveries[0]["state"] != "waiting"

    wait_until(ended)
    shown: dict[str, Any] = deployment.api.call("GET", path).json
    return shown


def test_failed_attempt_is_repeated_until_the_receiver_responds(own_account: KeyDeployment, receiver: Receiver) -> None:
    receiver.statuses = [503]
    job = delivery_of(own_account, URL)
    (delivery,) = job["webhook"]["deliveries"]
    assert (job["status"], delivery["state"]) == ("succeeded", "delivered")
    assert [attempt["status"] for attempt in delivery["attempts"]] == [503, 204]
    key = own_account.api.call("GET", "/webhooks/secret").json["key"]
    first, second = (Webhook(key).verify(body, headers) for headers, body in receiver.received)
    assert first["data"]["id"] == second["data"]["id"] == job["id"]
    assert len({headers["webhook-id"] for headers, _ in receiver.received}) == 1
    assert own_account.api.follow(second["data"]["images"][0]["url"]).status == 200


def test_name_with_a_private_address_is_not_called(own_account: KeyDeployment, receiver: Receiver) -> None:
    job = delivery_of(own_account, URL.replace("hooks", "inside"))
    (delivery,) = job["webhook"]["deliveries"]
    assert (delivery["state"], [attempt["error"] for attempt in delivery["attempts"]]) == (
        "failed", ["address_not_public"],
    )  # fmt: skip
    assert (job["status"], receiver.received) == ("succeeded", [])


def test_no_log_has_the_url(own_account: KeyDeployment) -> None:
    logs = own_account.account.client("logs")
    groups = [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]
    lines = [
        event["message"]
        for group in groups
        if "Easel" in group
        for event in logs.filter_log_events(logGroupName=group)["events"]
    ]
    assert any('"webhook"' in line for line in lines)
    assert not any("token=secret" in line for line in lines)


def test_event_that_the_function_cannot_handle_goes_to_the_dead_letter_queue(
    own_account: KeyDeployment, receiver: Receiver
) -> None:
    """The secret of the owner is damaged. An operator repairs it, and sends the messages again."""
    sqs, (s3, bucket) = own_account.account.client("sqs"), open_bucket(own_account)
    listed = sqs.list_queues()["QueueUrls"]
    urls = {name: url for url in listed for name in ("Queue", "Lost") if f"Webhooks{name}" in url}
    policy = json.loads(attributes(sqs, urls["Queue"])["RedrivePolicy"])
    changes = {"RedrivePolicy": json.dumps({**policy, "maxReceiveCount": 2}), "VisibilityTimeout": "1"}
    (entry,) = s3.list_objects_v2(Bucket=bucket, Prefix="webhooks/")["Contents"]
    secret = s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
    s3.put_object(Bucket=bucket, Key=entry["Key"], Body=b"{}")
    sqs.set_queue_attributes(QueueUrl=urls["Queue"], Attributes=changes)
    own_account.api.generate_job({**REQUEST, "webhook": URL})
    wait_until(lambda: int(attributes(sqs, urls["Lost"])["ApproximateNumberOfMessages"]) > 0)
    assert receiver.received == []
    s3.put_object(Bucket=bucket, Key=entry["Key"], Body=secret)
    (message,) = sqs.receive_message(QueueUrl=urls["Lost"])["Messages"]
    sqs.delete_message(QueueUrl=urls["Lost"], ReceiptHandle=message["ReceiptHandle"])
    sqs.send_message(QueueUrl=urls["Queue"], MessageBody=message["Body"])
    wait_until(lambda: len(receiver.received) == 1)


def attributes(sqs: Any, url: str) -> dict[str, str]:
    found: dict[str, str] = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return found
