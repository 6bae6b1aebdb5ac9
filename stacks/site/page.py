"""The built page in a bucket that only CloudFront reads.

The bucket uses S3's own encryption even where the user has a KMS key: the page is public, and the key's policy would
have to allow CloudFront.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import aws_cdk as cdk
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from stacks.common.auto_delete import configure_auto_delete
from stacks.common.function_backed_resource import FunctionBackedResource
from stacks.common.grants import allow
from stacks.common.nag_suppressions import suppress
from stacks.common.private_bucket import PrivateBucket

_NO_ACCESS_LOGS_REASON = (
    "Server access logs arrive after the bucket was emptied, so that destroy fails; the page is public"
)
_WRITE_REASON = "The names of the page's files come from its build, and the bucket holds nothing else"


class PageError(ValueError):
    """Raised for a page that cannot be deployed. The message says what to do."""


class Page(Construct):
    """The files of `folder` in a `bucket`. `patterns`: their URL paths, with one wildcard for each subfolder."""

    def __init__(self, scope: Construct, id: str, *, folder: Path, log_days: int) -> None:
        super().__init__(scope, id)
        if not (folder / "index.html").is_file():
            raise PageError(
                f"The page is not built: {folder / 'index.html'} is missing. Run `make page` to build it, or leave the "
                "page out with -c site=off, also for a destroy."
            )
        self.patterns = ["/", *(f"/{path.name}/*" if path.is_dir() else f"/{path.name}" for path in _entries(folder))]
        self.bucket = PrivateBucket(self, "Files", no_access_logs_reason=_NO_ACCESS_LOGS_REASON)
        configure_auto_delete(cdk.Stack.of(self), self, log_days=log_days)
        archive = assets.Asset(self, "Archive", path=str(folder))
        self.content = PageFiles(self, "Content", bucket=self.bucket, archive=archive, log_days=log_days)


class PageFiles(FunctionBackedResource):
    """The custom resource that unpacks the zip asset `archive` into `bucket`."""

    def __init__(
        self, scope: Construct, id: str, *, bucket: PrivateBucket, archive: assets.Asset, log_days: int
    ) -> None:
        super().__init__(
            scope,
            id,
            type="Page",
            module="page",
            memory_mb=512,
            seconds=120,
            timeout_seconds=180,
            log_days=log_days,
            properties={
                "Bucket": bucket.bucket_name,
                "Source": {"Bucket": archive.s3_bucket_name, "Key": archive.s3_object_key},
            },
        )
        allow(self.role, ["s3:GetObject"], [archive.bucket.arn_for_objects(archive.s3_object_key)])
        allow(self.role, ["s3:PutObject"], [bucket.arn_for_objects("*")])
        logical_id = cdk.Stack.of(self).get_logical_id(cast(cdk.CfnElement, bucket.node.default_child))
        suppress(self.role, {f"AwsSolutions-IAM5[Resource::<{logical_id}.Arn>/*]": _WRITE_REASON})

    def configure(self, sign_in: Mapping[str, str]) -> None:
        """Write `sign_in` into the page."""
        self.set_property("SignIn", dict(sign_in))


def _entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
