"""A release: weights and code together under one immutable prefix, named by their content."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from stacks.common.function import CUSTOM_RESOURCES, Function, package_code
from stacks.common.grants import allow, allow_listing, allow_objects
from stacks.config.catalogue import FolderSource, Model
from stacks.config.model_folder import released_files
from stacks.config.settings import Settings
from stacks.model.release.model_import import ModelImport

LIMIT_SECONDS = 900
"""The longest that a function can run."""


class Release(Construct):
    """Puts a model and the container's code into the bucket. `uri` is there once all of it is."""

    def __init__(
        self, scope: Construct, id: str, *, settings: Settings, bucket: s3.IBucket, model: Model, code: Path
    ) -> None:
        super().__init__(scope, id)
        parts, manifest = {"code/": _asset(self, "Code", code, [".*", "__pycache__", "*.md"])}, {}
        if isinstance(model.source, FolderSource):
            weights = model.source.path
            parts = {"": _asset(self, "Weights", weights, _all_but(released_files(weights))), **parts}
            prefix = f"releases/{_name(parts.values())}/"
            source = {"kind": "folder", "model": model.id}
            manifest = {"Manifest": json.dumps({"source": source, "commits": {}, "licence": model.licence})}
        else:
            name = parts["code/"].asset_hash
            prefix = ModelImport(self, "Import", settings=settings, bucket=bucket, model=model, code=name).prefix
        writer = self._writer(bucket, [*parts.values()], settings.log_days)
        release = cdk.CustomResource(
            self,
            "Release",
            resource_type="Custom::EaselRelease",
            service_token=writer.function.function_arn,
            service_timeout=cdk.Duration.seconds(LIMIT_SECONDS + 60),
            properties={
                "Bucket": bucket.bucket_name,
                "Prefix": prefix,
                **manifest,
                "Parts": [
                    {"Bucket": part.s3_bucket_name, "Key": part.s3_object_key, "Below": below}
                    for below, part in parts.items()
                ],
            },
        )
        release.node.add_dependency(writer.role)
        self.uri = release.get_att_string("Uri")

    def _writer(self, bucket: s3.IBucket, parts: list[assets.Asset], log_days: int) -> Function:
        writer = Function(
            self,
            "Writer",
            code=package_code(CUSTOM_RESOURCES),
            handler="custom_resources.release.handler",
            memory_mb=1769,
            seconds=LIMIT_SECONDS,
            log_days=log_days,
        )
        allow(writer.role, ["s3:GetObject"], [part.bucket.arn_for_objects(part.s3_object_key) for part in parts])
        allow_objects(
            writer.role, bucket, ["s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObjectTagging"], "releases/*"
        )
        allow_listing(writer.role, bucket, "releases/*")
        return writer


def _asset(scope: Construct, id: str, path: Path, exclude: list[str]) -> assets.Asset:
    """A folder as a zip asset, without what patterns like those of .gitignore name."""
    return assets.Asset(scope, id, path=str(path), exclude=exclude, ignore_mode=cdk.IgnoreMode.GIT)


def _all_but(names: Iterable[str]) -> list[str]:
    """Patterns of everything in a folder but these files of it and of its subfolders."""
    literal = [re.sub(r"([^\w/.-])", r"\\\1", name) for name in names]
    inside = dict.fromkeys(name.rpartition("/")[0] for name in literal if "/" in name)
    return ["/*", *(f"!/{folder}" for folder in inside), "/*/*", *(f"!/{name}" for name in literal)]


def _name(parts: Iterable[assets.Asset]) -> str:
    return hashlib.sha256("".join(part.asset_hash for part in parts).encode()).hexdigest()[:16]
