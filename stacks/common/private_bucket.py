"""A private, encrypted bucket that accepts TLS only."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.common.nag_suppressions import suppress


class PrivateBucket(s3.Bucket):
    """A bucket encrypted with `key`, or with S3's own key where there is none.

    `no_access_logs_reason` says why the bucket has no server access logs.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        no_access_logs_reason: str,
        key: kms.IKey | None = None,
        removal: cdk.RemovalPolicy = cdk.RemovalPolicy.DESTROY,
        **options: Any,
    ) -> None:
        super().__init__(
            scope,
            id,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.KMS if key else s3.BucketEncryption.S3_MANAGED,
            encryption_key=key,
            bucket_key_enabled=True if key else None,  # one call of KMS for many objects
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            removal_policy=removal,
            auto_delete_objects=removal == cdk.RemovalPolicy.DESTROY,
            **options,
        )
        suppress(self, {"AwsSolutions-S1": no_access_logs_reason})
