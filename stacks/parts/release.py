"""A release: weights and code together under one immutable prefix, named by their content."""

from __future__ import annotations

import hashlib
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from stacks.parts.findings import acknowledge_prefixes
from stacks.parts.function import Function

HANDLERS = Path(__file__).parent.parent / "handlers"
LIMIT = cdk.Duration.minutes(15)
"""The longest that a function can run."""


class Release(Construct):
    """Puts a model folder and the container's code into the bucket. `uri` is there once all of it is."""

    def __init__(
        self, scope: Construct, id: str, *, bucket: s3.IBucket, weights: Path, code: Path, log_days: int
    ) -> None:
        super().__init__(scope, id)
        parts = {"": _folder(self, "Weights", weights), "code/": _folder(self, "Code", code)}
        digest = hashlib.sha256("".join(part.asset_hash for part in parts.values()).encode()).hexdigest()
        writer = Function(
            self,
            "Writer",
            code=HANDLERS,
            handler="release.handler",
            memory_mb=1769,
            timeout=LIMIT,
            log_days=log_days,
        )
        writer.allow(["s3:GetObject"], [part.bucket.arn_for_objects(part.s3_object_key) for part in parts.values()])
        writer.allow(["s3:PutObject", "s3:AbortMultipartUpload"], [bucket.arn_for_objects("releases/*")])
        writer.allow(["s3:ListBucket"], [bucket.bucket_arn], {"StringLike": {"s3:prefix": "releases/*"}})
        acknowledge_prefixes(writer, "releases/")
        release = cdk.CustomResource(
            self,
            "Release",
            resource_type="Custom::EaselRelease",
            service_token=writer.function.function_arn,
            service_timeout=LIMIT.plus(cdk.Duration.minutes(1)),
            properties={
                "Bucket": bucket.bucket_name,
                "Prefix": f"releases/{digest[:16]}/",
                "Parts": [
                    {"Bucket": part.s3_bucket_name, "Key": part.s3_object_key, "Below": below}
                    for below, part in parts.items()
                ],
            },
        )
        release.node.add_dependency(writer)
        self.uri = release.get_att_string("Uri")


def _folder(scope: Construct, id: str, path: Path) -> assets.Asset:
    """A folder as a zip asset, without hidden files, caches and the model card."""
    return assets.Asset(
        scope, id, path=str(path), exclude=[".*", "__pycache__", "*.md"], ignore_mode=cdk.IgnoreMode.GIT
    )
