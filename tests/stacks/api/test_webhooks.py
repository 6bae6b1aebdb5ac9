"""webhooks=on: the queue of webhooks, its function, and who may do what with them."""

from __future__ import annotations

import json
from typing import Any

import handlers
from app import ROOT
from stacks.api.webhooks import BATCH, RECEIVES, SECONDS
from tests.stacks.api.test_functions import actions, functions
from tests.stacks.assembly import Assembly
from webhooks.delivery import PAUSES_SECONDS
from webhooks.sender import DEADLINE_SECONDS

QUEUE = "AWS::SQS::Queue"
MAX_HIDDEN_SECONDS = 12 * 3600
"""The longest time for which SQS hides a message."""


def queues(assembly: Assembly) -> dict[str, dict[str, Any]]:
    """Return the queue of webhooks and its dead-letter queue, by the end of their ids."""
    found = assembly.resources(QUEUE, "EaselApi").items()
    prefix = "FunctionsWebhooks"
    return {id.removeprefix(prefix)[:-8]: {**item, "id": id} for id, item in found if id.startswith(prefix)}


def test_without_the_setting_nothing_exists(default: Assembly) -> None:
    assert "ebhook" not in json.dumps(default.templates["EaselApi"])


def test_failed_messages_return_and_then_go_to_the_dead_letter_queue(hub: Assembly) -> None:
    found = queues(hub)
    assert set(found) == {"Queue", "Lost"}
    queue = found["Queue"]["Properties"]
    target = {"Fn::GetAtt": [found["Lost"]["id"], "Arn"]}
    assert queue["RedrivePolicy"] == {"deadLetterTargetArn": target, "maxReceiveCount": RECEIVES}
    assert len(PAUSES_SECONDS) + 1 < RECEIVES
    assert queue["VisibilityTimeout"] >= 6 * SECONDS
    assert queue["MessageRetentionPeriod"] > 2 * sum(PAUSES_SECONDS)
    assert 1.1 * max(PAUSES_SECONDS) < MAX_HIDDEN_SECONDS
    assert found["Lost"]["Properties"]["MessageRetentionPeriod"] == 14 * 24 * 3600


def test_the_function_gets_batches_and_reports_each_failure(hub: Assembly) -> None:
    events = hub.only("AWS::Lambda::EventSourceMapping")
    assert events["EventSourceArn"] == {"Fn::GetAtt": [queues(hub)["Queue"]["id"], "Arn"]}
    assert (events["BatchSize"], events["FunctionResponseTypes"]) == (BATCH, ["ReportBatchItemFailures"])
    assert events["ScalingConfig"] == {"MaximumConcurrency": 5}
    function = functions(hub)["handlers.webhooks"]
    assert callable(handlers.webhooks)
    assert function["Timeout"] == SECONDS > DEADLINE_SECONDS + 10


def test_rights_end_at_the_queue_the_jobs_and_the_secrets(hub: Assembly, own: Assembly) -> None:
    common = {"s3:ListBucket": ["itself"], "logs:CreateLogStream": ["itself"], "logs:PutLogEvents": ["itself"]}
    delivery = actions(hub, "WebhooksDelivery")
    receive = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes", "ChangeMessageVisibility")
    traces = ("xray:PutTraceSegments", "xray:PutTelemetryRecords")
    assert {action: names for action, names in delivery.items() if action not in traces} == {
        **common,
        **{f"sqs:{action}": ["itself"] for action in receive},
        "s3:GetObject": ["/jobs/*", "/webhooks/*"],
        "s3:PutObject": ["/jobs/*/webhook-*", "/webhooks/*"],
    }
    for assembly, helper in ((hub, "Finalizer"), (own, "Runner")):
        assert actions(assembly, "Api")["sqs:SendMessage"] == ["itself"]
        assert "/webhooks/*" in actions(assembly, "Api")["s3:PutObject"]
        assert "sqs:SendMessage" in actions(assembly, helper)
        assert "/webhooks/*" not in actions(assembly, helper)["s3:GetObject"]


def test_with_a_kms_key_the_functions_may_use_it_for_the_queue(own: Assembly) -> None:
    assert {queue["Properties"]["KmsMasterKeyId"] for queue in queues(own).values()} != set()
    for name, needed in {"Api": {"kms:Decrypt", "kms:GenerateDataKey"}, "WebhooksDelivery": {"kms:Decrypt"}}.items():
        assert needed <= actions(own, name).keys()


def test_only_names_that_the_code_reads_are_secrets() -> None:
    assert 'f"webhooks/{owner}.json"' in (ROOT / "lambda" / "webhooks" / "signing.py").read_text()
