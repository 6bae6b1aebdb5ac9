"""Older releases expire once nothing points at them."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.common.function import CUSTOM_RESOURCES, Function, package_code
from stacks.common.grants import allow_anywhere, allow_listing, allow_objects, allow_unnamed

_WHY = "It looks what of this account and region still needs a release, and changes nothing of SageMaker"


class Retirement(Construct):
    """Runs when `uri` is another one, after all that must run it."""

    def __init__(self, scope: Construct, id: str, *, bucket: s3.IBucket, uri: str, log_days: int) -> None:
        super().__init__(scope, id)
        looker = Function(
            self,
            "Looker",
            code=package_code(CUSTOM_RESOURCES),
            handler="custom_resources.release_expiry.handler",
            memory_mb=256,
            seconds=600,
            log_days=log_days,
        )
        allow_objects(looker.role, bucket, ["s3:PutObjectTagging"], "releases/*")
        allow_listing(looker.role, bucket, "releases/*")
        allow_anywhere(looker.role, ["sagemaker:ListEndpointConfigs"], _WHY)
        for action, kind in {"DescribeEndpointConfig": "endpoint-config", "DescribeModel": "model"}.items():
            allow_unnamed(looker.role, [f"sagemaker:{action}"], "sagemaker", kind, _WHY)
        retirement = cdk.CustomResource(
            self,
            "Retirement",
            resource_type="Custom::EaselRetirement",
            service_token=looker.function.function_arn,
            service_timeout=cdk.Duration.minutes(11),
            properties={"Bucket": bucket.bucket_name, "Uri": uri},
        )
        retirement.node.add_dependency(looker.role)
