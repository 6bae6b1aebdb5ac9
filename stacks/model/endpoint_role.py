"""The role in which SageMaker runs the endpoint."""

from __future__ import annotations

from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.common.grants import (
    allow,
    allow_listing,
    allow_objects,
    allow_on_any_resource,
    service_of_this_account,
)
from stacks.common.kms_key import allow_key
from stacks.model.async_output import AsyncOutput

_SHELL_REASON = "IAM cannot limit the channels of the SSM agent to a resource; shell=off, the default, grants none"
_SERVING_REASON = "IAM cannot limit ECR's token or CloudWatch's metrics to a resource"


class EndpointRole(iam.Role):
    """Pulls the image, reads releases and requests, writes logs, metrics and, in async mode, output."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        bucket: s3.IBucket,
        repository_arn: str,
        log_group: logs.ILogGroup,
        async_output: AsyncOutput | None,
    ) -> None:
        super().__init__(scope, id, assumed_by=service_of_this_account("sagemaker"))
        allow_serving(self, repository_arn=repository_arn, log_group_arn=log_group.log_group_arn)
        allow_objects(self, bucket, ["s3:GetObject"], "releases/*", "jobs/*/request.json")
        async_prefixes = ["jobs/*", "async-output/*", "async-failures/*"] if async_output else []
        # SageMaker lists below a prefix only. Source: of S3's actions CreateModel needs s3:GetObject alone, so no
        # HeadBucket (https://repost.aws/knowledge-center/sagemaker-s3-accessdenied-training).
        allow_listing(self, bucket, "releases/*", *async_prefixes)
        if async_output:
            put = ["s3:PutObject", "s3:AbortMultipartUpload"]
            allow_objects(self, bucket, put, "async-output/*", "async-failures/*")
            allow(self, ["sns:Publish"], [topic.topic_arn for topic in async_output.topics.all])
            allow_key(self, bucket.encryption_key, "sns")


def allow_shell(role: iam.Role) -> None:
    """Allow the SSM agent in the container to open a shell."""
    channels = [f"ssmmessages:{verb}{kind}Channel" for verb in ("Create", "Open") for kind in ("Control", "Data")]
    allow_on_any_resource(role, channels, reason=_SHELL_REASON)


def allow_serving(role: iam.Role, *, repository_arn: str, log_group_arn: str) -> None:
    """Allow what SageMaker needs for any endpoint: the image, the log and metrics."""
    pull = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    write_log = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    namespaces = {"StringLike": {"cloudwatch:namespace": ["AWS/SageMaker", "/aws/sagemaker/*"]}}
    allow(role, pull, [repository_arn])
    allow_on_any_resource(role, ["ecr:GetAuthorizationToken"], reason=_SERVING_REASON)
    allow_on_any_resource(role, ["cloudwatch:PutMetricData"], reason=_SERVING_REASON, conditions=namespaces)
    allow(role, write_log, [log_group_arn])
