"""A custom resource that marks old releases for deletion."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.common.function_backed_resource import FunctionBackedResource
from stacks.common.grants import allow_listing, allow_objects, allow_on_all_of_type, allow_on_any_resource

_REASON = "It reads which releases are in use in this account and region, and changes nothing in SageMaker"
_READ = {"DescribeEndpointConfig": "endpoint-config", "DescribeModel": "model"}


class ReleaseExpiry(FunctionBackedResource):
    """Runs when one of `uris` changes. Make it depend on the endpoints, so that it runs after their updates."""

    def __init__(self, scope: Construct, id: str, *, bucket: s3.IBucket, uris: Sequence[str], log_days: int) -> None:
        super().__init__(
            scope,
            id,
            type="ReleaseExpiry",
            module="release_expiry",
            seconds=600,
            timeout_seconds=660,
            log_days=log_days,
            properties={"Bucket": bucket.bucket_name, "Uris": list(uris)},
        )
        allow_objects(self.role, bucket, ["s3:PutObjectTagging"], "releases/*")
        allow_listing(self.role, bucket, "releases/*")
        allow_on_any_resource(self.role, ["sagemaker:ListEndpointConfigs"], reason=_REASON)
        for action, type in _READ.items():
            actions = [f"sagemaker:{action}"]
            allow_on_all_of_type(self.role, actions, service="sagemaker", resource_type=type, reason=_REASON)
