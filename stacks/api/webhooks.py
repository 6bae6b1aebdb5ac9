"""Webhooks: the queue of events, and the function that delivers them. Exists with webhooks=on only.

An idle queue is free: Lambda's pollers make about 650,000 of the million requests a month that SQS charges nothing for.
"""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.api.models_layer import FILE
from stacks.common.failures import LostEvents
from stacks.common.function import Code, Function
from stacks.common.grants import allow, allow_listing, allow_objects
from stacks.common.kms_key import READ, allow_key
from stacks.config.settings import Settings

SECONDS = 30
"""Timeout of the function. An attempt takes at most 15 seconds, and those of a batch run side by side."""
BATCH, CONCURRENCY = 10, 5
"""Events of a batch, and batches at the same time."""
RECEIVES = 16
"""Receives after which SQS moves a message to `lost`: twice the attempts of a delivery, because throttling counts."""
_SECRETS = "webhooks/*"


class Webhooks(Construct):
    """The function `delivery`, and the queue `lost` of what it could not handle.

    `layers`: Powertools and the models.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        bucket: s3.IBucket,
        code: Code,
        layers: Sequence[lambda_.ILayerVersion],
    ) -> None:
        super().__init__(scope, id)
        self._bucket = bucket
        self.lost = LostEvents(self, "Lost")
        self._queue = sqs.Queue(
            self,
            "Queue",
            enforce_ssl=True,
            visibility_timeout=cdk.Duration.seconds(6 * SECONDS),  # AWS's advice for a function's queue
            retention_period=cdk.Duration.days(4),
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.lost, max_receive_count=RECEIVES),
        )
        self.delivery = Function(
            self,
            "Delivery",
            code=code,
            handler="handlers.webhooks",
            memory_mb=512,
            seconds=SECONDS,
            log_days=settings.log_days,
            environment={
                "EASEL_BUCKET": bucket.bucket_name,
                "EASEL_MODE": settings.mode,
                "EASEL_MODELS": FILE,
                "EASEL_WEBHOOK_QUEUE": self._queue.queue_url,
                "POWERTOOLS_SERVICE_NAME": settings.name,
                **({"EASEL_TRACING": "on"} if settings.tracing == "on" else {}),
            },
            layers=layers,
            tracing=settings.tracing == "on",
        )
        self._allow_delivery()
        lambda_.EventSourceMapping(
            self,
            "Events",
            target=self.delivery.function,
            event_source_arn=self._queue.queue_arn,
            batch_size=BATCH,
            max_concurrency=CONCURRENCY,
            report_batch_item_failures=True,
        )

    def let_queue(self, function: Function, *, secrets: bool = False) -> None:
        """Let a function add events, and with `secrets` read and replace the secrets of signatures."""
        function.function.add_environment("EASEL_WEBHOOK_QUEUE", self._queue.queue_url)
        allow(function.role, ["sqs:SendMessage"], [self._queue.queue_arn])
        allow_key(function.role, self._bucket.encryption_key, "sqs")
        if secrets:
            self._allow_secrets(function)

    def _allow_delivery(self) -> None:
        role, bucket = self.delivery.role, self._bucket
        receive = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"]
        allow(role, receive, [self._queue.queue_arn])
        allow_key(role, bucket.encryption_key, "sqs", READ)
        allow_objects(role, bucket, ["s3:GetObject"], "jobs/*")
        allow_objects(role, bucket, ["s3:PutObject"], "jobs/*/webhook-*")
        allow_listing(role, bucket, "jobs/*")
        self._allow_secrets(self.delivery)

    def _allow_secrets(self, function: Function) -> None:
        allow_objects(function.role, self._bucket, ["s3:GetObject", "s3:PutObject"], _SECRETS)
        allow_listing(function.role, self._bucket, _SECRETS)
