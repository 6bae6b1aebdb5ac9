"""A custom resource that watches the first start of an endpoint, and keeps the container's log if it fails."""

from __future__ import annotations

from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.common.function_backed_resource import FunctionBackedResource
from stacks.common.grants import allow, allow_objects
from stacks.config.names import CUSTOM_RESOURCE_MINUTES, FAILED_STARTS, FUNCTION_SECONDS
from stacks.model.endpoint import Endpoint


class EndpointStart(FunctionBackedResource):
    """Created beside the endpoint: after what the endpoint needs. Deleted before the endpoint's log group."""

    def __init__(self, scope: Construct, id: str, *, endpoint: Endpoint, bucket: s3.IBucket, log_days: int) -> None:
        super().__init__(
            scope,
            id,
            type="EndpointStart",
            module="endpoint_start",
            seconds=FUNCTION_SECONDS,
            timeout_seconds=60 * CUSTOM_RESOURCE_MINUTES,
            log_days=log_days,
            properties={"Endpoint": endpoint.name, "LogGroup": endpoint.log_group, "Bucket": bucket.bucket_name},
            continues=True,
        )
        allow(self.role, ["sagemaker:DescribeEndpoint"], [endpoint.arn])
        allow(self.role, ["logs:DescribeLogStreams", "logs:GetLogEvents"], [endpoint.logs.log_group_arn])
        allow_objects(self.role, bucket, ["s3:PutObject"], f"{FAILED_STARTS}*")
        self.after(endpoint.config, endpoint.logs)
