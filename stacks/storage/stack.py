"""The bucket: jobs, pictures and releases. The only thing with a state."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.common.auto_delete_logs import keep_log_of_emptying
from stacks.common.private_bucket import PrivateBucket
from stacks.config.settings import Settings

PASSING = ("jobs/", "idempotency/", "answers/", "failures/", "imports/")
"""Prefixes whose objects expire."""
UNREFERENCED = {"easel:release": "unreferenced"}
"""What `handlers/retirement.py` tags a release with that nothing points at any more."""

_S1 = (
    "Server access logs arrive after the bucket was emptied, so that destroy fails; every access goes through our "
    "functions, which log it"
)


class StorageStack(cdk.Stack):
    """Holds what outlives a deploy."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings, **options: Any) -> None:
        super().__init__(scope, id, description="Easel: the bucket of jobs, pictures and releases", **options)
        destroy = settings.removal == "destroy"
        days = cdk.Duration.days
        arn = settings.kms_key_arn
        self.bucket = PrivateBucket(
            self,
            "Store",
            unlogged=_S1,
            key=kms.Key.from_key_arn(self, "Key", arn) if arn else None,
            removal=cdk.RemovalPolicy.DESTROY if destroy else cdk.RemovalPolicy.RETAIN,
            # The page reads pictures by presigned links; the signature is what protects them.
            cors=[s3.CorsRule(allowed_methods=[s3.HttpMethods.GET], allowed_origins=["*"], allowed_headers=["*"])],
            lifecycle_rules=[
                *(s3.LifecycleRule(prefix=prefix, expiration=days(settings.result_days)) for prefix in PASSING),
                s3.LifecycleRule(prefix="releases/", tag_filters=UNREFERENCED, expiration=days(1)),
                s3.LifecycleRule(abort_incomplete_multipart_upload_after=days(1)),
            ],
        )
        cdk.CrossStackReferences.of(self.bucket).produce(cdk.ReferenceStrength.STRONG)  # it goes last, or not at all
        cdk.CfnOutput(self, "BucketName", value=self.bucket.bucket_name)
        if destroy:
            keep_log_of_emptying(self, self, log_days=settings.log_days)
