"""The storage stack: the bucket of jobs, images and releases, the table of keys, the topics. All of Easel's state."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.common.auto_delete import configure_auto_delete
from stacks.common.outputs import output
from stacks.common.private_bucket import PrivateBucket
from stacks.config.names import FAILED_STARTS
from stacks.config.settings import Settings
from stacks.storage.accounts import AccountTable
from stacks.storage.alerts import Alerts
from stacks.storage.result_topics import ResultTopics

EXPIRING_PREFIXES = ("jobs/", "idempotency/", "async-output/", "async-failures/", "imports/", FAILED_STARTS)
UNREFERENCED_TAG = {"easel:release": "unreferenced"}
"""The tag that `custom_resources/release_expiry.py` puts on a release that is no longer used."""

_NO_ACCESS_LOGS_REASON = (
    "Server access logs arrive after the bucket was emptied, so that destroy fails; every access goes through our "
    "functions, which log it"
)


class StorageStack(cdk.Stack):
    """The bucket, the table and the topics that the other stacks use, each of which can be deleted and deployed again.

    Everything here exists in every mode, and is exported whether or not somebody imports it: CloudFormation refuses to
    remove an export that another stack still imports, so a change of `mode` would fail.
    """

    def __init__(self, scope: Construct, id: str, *, settings: Settings, **options: Any) -> None:
        description = "Easel: the bucket of jobs, images and releases, the table of keys, and the topics"
        super().__init__(scope, id, description=description, **options)
        destroy = settings.removal == "destroy"
        removal = cdk.RemovalPolicy.DESTROY if destroy else cdk.RemovalPolicy.RETAIN
        arn = settings.kms_key_arn
        self.bucket = PrivateBucket(
            self,
            "Store",
            no_access_logs_reason=_NO_ACCESS_LOGS_REASON,
            key=kms.Key.from_key_arn(self, "Key", arn) if arn else None,
            removal=removal,
            # The page reads images by presigned URL; the signature protects them.
            cors=[s3.CorsRule(allowed_methods=[s3.HttpMethods.GET], allowed_origins=["*"], allowed_headers=["*"])],
            lifecycle_rules=_lifecycle_rules(settings.result_days),
        )
        self.accounts = AccountTable(self, "Accounts", removal=removal)
        self.results = ResultTopics(self, "Results")
        self.alerts = Alerts(self, "Alerts", email=settings.alert_email, sender=settings.names.prefix)
        names = self.bucket.bucket_name, self.accounts.table_name
        for value in (*names, self.bucket.bucket_arn, self.accounts.table_arn):
            self.export_value(value)
        for topic in (*self.results.all, self.alerts.topic, self.alerts.used_up):
            self.export_value(topic.topic_arn)
        output(self, "BucketName", self.bucket.bucket_name)
        output(self, "AlertsGoTo", self.alerts.recipient)
        if destroy:
            configure_auto_delete(self, self, log_days=settings.log_days)


def _lifecycle_rules(result_days: int) -> list[s3.LifecycleRule]:
    expiration, one_day = cdk.Duration.days(result_days), cdk.Duration.days(1)
    return [
        *(s3.LifecycleRule(prefix=prefix, expiration=expiration) for prefix in EXPIRING_PREFIXES),
        s3.LifecycleRule(prefix="releases/", tag_filters=UNREFERENCED_TAG, expiration=one_day),
        s3.LifecycleRule(abort_incomplete_multipart_upload_after=one_day),
    ]
