"""The built page in a bucket that only CloudFront reads.

S3's own encryption also where there is a key of one's own: the page is no secret, and CloudFront would have to be named
in the key's policy.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import aws_cdk as cdk
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from stacks.common.auto_delete_logs import keep_log_of_emptying
from stacks.common.function import CUSTOM_RESOURCES, Function, package_code
from stacks.common.grants import allow
from stacks.common.nag_suppressions import acknowledge
from stacks.common.private_bucket import PrivateBucket

_S1 = "Server access logs arrive after the bucket was emptied, so that destroy fails; the page is no secret"
_WRITES = "The names of the page's files come from its build, and the bucket holds nothing else"


class PageError(ValueError):
    """A page that cannot be deployed, and the way out."""


class Page(Construct):
    """`bucket` holds the files of `folder`; `patterns` are their addresses, short of what is below a folder."""

    def __init__(self, scope: Construct, id: str, *, folder: Path, log_days: int) -> None:
        super().__init__(scope, id)
        if not (folder / "index.html").is_file():
            raise PageError(
                f"the page is not built: {folder / 'index.html'} is missing. `make page` builds it; -c site=off "
                "leaves the page out, of a destroy too."
            )
        self.patterns = ["/", *(f"/{path.name}/*" if path.is_dir() else f"/{path.name}" for path in _entries(folder))]
        self.bucket = PrivateBucket(self, "Files", unlogged=_S1)
        keep_log_of_emptying(cdk.Stack.of(self), self, log_days=log_days)
        built = assets.Asset(self, "Built", path=str(folder))
        self._write(built, self._writer(built, log_days))

    def _writer(self, built: assets.Asset, log_days: int) -> Function:
        writer = Function(
            self,
            "Writer",
            code=package_code(CUSTOM_RESOURCES),
            handler="custom_resources.page.handler",
            memory_mb=512,
            seconds=120,
            log_days=log_days,
        )
        allow(writer.role, ["s3:GetObject"], [built.bucket.arn_for_objects(built.s3_object_key)])
        allow(writer.role, ["s3:PutObject"], [self.bucket.arn_for_objects("*")])
        id = cdk.Stack.of(self).get_logical_id(cast(cdk.CfnElement, self.bucket.node.default_child))
        acknowledge(writer.role, {f"AwsSolutions-IAM5[Resource::<{id}.Arn>/*]": _WRITES})
        return writer

    def _write(self, built: assets.Asset, writer: Function) -> None:
        written = cdk.CustomResource(
            self,
            "Written",
            resource_type="Custom::EaselPage",
            service_token=writer.function.function_arn,
            service_timeout=cdk.Duration.minutes(3),
            properties={
                "Bucket": self.bucket.bucket_name,
                "Source": {"Bucket": built.s3_bucket_name, "Key": built.s3_object_key},
            },
        )
        written.node.add_dependency(writer.role)


def _entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
