"""The storage stack: the bucket of jobs, images and releases. It holds all of Easel's state."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.common.auto_delete import configure_auto_delete
from stacks.common.outputs import output
from stacks.common.private_bucket import PrivateBucket
from stacks.config.settings import Settings

EXPIRING_PREFIXES = ("jobs/", "idempotency/", "async-output/", "async-failures/", "imports/")
UNREFERENCED_TAG = {"easel:release": "unreferenced"}
"""The tag that `custom_resources/release_expiry.py` puts on a release that is no longer used."""

_NO_ACCESS_LOGS_REASON = (
    "Server access logs arrive after the bucket was emptied, so that destroy fails; every access goes through our "
    "functions, which log it"
)


class StorageStack(cdk.Stack):
    """The bucket that the other stacks read and write."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings, **options: Any) -> None:
        super().__init__(scope, id, description="Easel: the bucket of jobs, images and releases", **options)
        destroy = settings.removal == "destroy"
        arn = settings.kms_key_arn
        self.bucket = PrivateBucket(
            self,
            "Store",
            no_access_logs_reason=_NO_ACCESS_LOGS_REASON,
            key=kms.Key.from_key_arn(self, "Key", arn) if arn else None,
            removal=cdk.RemovalPolicy.DESTROY if destroy else cdk.RemovalPolicy.RETAIN,
            # The page reads images by presigned URL; the signature protects them.
            cors=[s3.CorsRule(allowed_methods=[s3.HttpMethods.GET], allowed_origins=["*"], allowed_headers=["*"])],
            lifecycle_rules=_lifecycle_rules(settings.result_days),
        )
        # No stack that uses the bucket can outlive it.
        cdk.CrossStackReferences.of(self.bucket).produce(cdk.ReferenceStrength.STRONG)
        output(self, "BucketName", self.bucket.bucket_name)
        if destroy:
            configure_auto_delete(self, self, log_days=settings.log_days)


def _lifecycle_rules(result_days: int) -> list[s3.LifecycleRule]:
    expiration, one_day = cdk.Duration.days(result_days), cdk.Duration.days(1)
    return [
        *(s3.LifecycleRule(prefix=prefix, expiration=expiration) for prefix in EXPIRING_PREFIXES),
        s3.LifecycleRule(prefix="releases/", tag_filters=UNREFERENCED_TAG, expiration=one_day),
        s3.LifecycleRule(abort_incomplete_multipart_upload_after=one_day),
    ]
