"""A release: weights and code under one immutable prefix of the bucket, named by their content."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from stacks.common.function_backed_resource import FunctionBackedResource
from stacks.common.grants import allow, allow_listing, allow_objects
from stacks.config.catalogue import FolderSource, Model
from stacks.config.model_folder import released_files
from stacks.config.names import FUNCTION_SECONDS
from stacks.config.settings import Settings
from stacks.model.release.model_import import ModelImport


class Release(Construct):
    """Writes a model and the container's code into the bucket. `uri` is known once all files are written."""

    def __init__(
        self, scope: Construct, id: str, *, settings: Settings, bucket: s3.IBucket, model: Model, code: Path,
        is_default: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(scope, id)
        parts = {"code/": _asset(self, "Code", code, [".*", "__pycache__", "*.md"])}
        manifest: dict[str, str] = {}
        if isinstance(model.source, FolderSource):
            weights = model.source.path
            released = released_files(weights, model.source.variant, model.pipeline, model.extra_digests)
            parts = {"": _asset(self, "Weights", weights, _all_but(released)), **parts}
            prefix = f"releases/{_name(parts.values())}/"
            source = {"kind": "folder", "model": model.id}
            manifest = {"Manifest": json.dumps({"source": source, "commits": {}, "licence": model.licence})}
        else:
            name = parts["code/"].asset_hash
            imported = ModelImport(
                self, "Import", settings=settings, bucket=bucket, model=model, code=name, is_default=is_default
            )
            prefix = imported.prefix
        properties = {"Bucket": bucket.bucket_name, "Prefix": prefix, **manifest, "Parts": _render(parts)}
        files = ReleaseFiles(
            self, "Files", bucket=bucket, parts=[*parts.values()], properties=properties, log_days=settings.log_days
        )
        self.uri = files.attribute("Uri")


class ReleaseFiles(FunctionBackedResource):
    """The custom resource that unpacks the zip assets `parts` into the bucket."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        bucket: s3.IBucket,
        parts: list[assets.Asset],
        properties: Mapping[str, Any],
        log_days: int,
    ) -> None:
        super().__init__(
            scope,
            id,
            type="Release",
            module="release",
            memory_mb=1769,
            seconds=FUNCTION_SECONDS,
            timeout_seconds=FUNCTION_SECONDS + 60,
            log_days=log_days,
            properties=properties,
        )
        write = ["s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObjectTagging"]
        allow(self.role, ["s3:GetObject"], [part.bucket.arn_for_objects(part.s3_object_key) for part in parts])
        allow_objects(self.role, bucket, write, "releases/*")
        allow_listing(self.role, bucket, "releases/*")


def _render(parts: Mapping[str, assets.Asset]) -> list[dict[str, str]]:
    return [
        {"Bucket": part.s3_bucket_name, "Key": part.s3_object_key, "Below": folder} for folder, part in parts.items()
    ]


def _asset(scope: Construct, id: str, path: Path, exclude: list[str]) -> assets.Asset:
    """Return a folder as a zip asset. `exclude` has the patterns of a .gitignore."""
    return assets.Asset(scope, id, path=str(path), exclude=exclude, ignore_mode=cdk.IgnoreMode.GIT)


def _all_but(names: Iterable[str]) -> list[str]:
    """Return patterns that exclude every file of a folder and its subfolders but `names`."""
    literal = [re.sub(r"([^\w/.-])", r"\\\1", name) for name in names]
    inside = dict.fromkeys(name.rpartition("/")[0] for name in literal if "/" in name)
    return ["/*", *(f"!/{folder}" for folder in inside), "/*/*", *(f"!/{name}" for name in literal)]


def _name(parts: Iterable[assets.Asset]) -> str:
    return hashlib.sha256("".join(part.asset_hash for part in parts).encode()).hexdigest()[:16]
