"""The bucket: jobs, pictures and releases. The only thing with a state."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.parts.emptied import keep_log_of_emptying
from stacks.parts.findings import acknowledge
from stacks.settings import Settings

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
        self.bucket = s3.Bucket(
            self,
            "Store",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.S3_MANAGED,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            # The page reads pictures by presigned links; the signature is what protects them.
            cors=[s3.CorsRule(allowed_methods=[s3.HttpMethods.GET], allowed_origins=["*"], allowed_headers=["*"])],
            lifecycle_rules=[
                *(s3.LifecycleRule(prefix=prefix, expiration=days(settings.result_days)) for prefix in PASSING),
                s3.LifecycleRule(prefix="releases/", tag_filters=UNREFERENCED, expiration=days(1)),
                s3.LifecycleRule(abort_incomplete_multipart_upload_after=days(1)),
            ],
            removal_policy=cdk.RemovalPolicy.DESTROY if destroy else cdk.RemovalPolicy.RETAIN,
            auto_delete_objects=destroy,
        )
        cdk.CrossStackReferences.of(self.bucket).produce(cdk.ReferenceStrength.STRONG)  # it goes last, or not at all
        acknowledge(self.bucket, {"AwsSolutions-S1": _S1})
        if destroy:
            keep_log_of_emptying(self, self, log_days=settings.log_days)
