"""What SageMaker may do for the endpoint."""

from __future__ import annotations

from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.common.grants import allow, allow_anywhere, allow_listing, allow_objects
from stacks.common.own_key import allow_key
from stacks.model.async_output import Answers


class EndpointRole(iam.Role):
    """Pulls the image, reads releases and requests, writes log, metrics and, in async mode, answers."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        bucket: s3.IBucket,
        repository_arn: str,
        log_group: logs.ILogGroup,
        answers: Answers | None,
    ) -> None:
        super().__init__(scope, id, assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"))
        allow_serving(self, repository_arn=repository_arn, log_group_arn=log_group.log_group_arn)
        allow_objects(self, bucket, ["s3:GetObject"], "releases/*", "jobs/*/request.json")
        passing = ["jobs/*", "answers/*", "failures/*"] if answers else []
        allow_listing(self, bucket, "releases/*", *passing)
        if answers:
            put = ["s3:PutObject", "s3:AbortMultipartUpload"]
            allow_objects(self, bucket, put, "answers/*", "failures/*")
            allow(self, ["sns:Publish"], [topic.topic_arn for topic in answers.topics])
            allow_key(self, bucket.encryption_key, "sns")


def allow_shell(role: iam.Role) -> None:
    """For the agent of SSM in the container."""
    channels = [f"ssmmessages:{verb}{kind}Channel" for verb in ("Create", "Open") for kind in ("Control", "Data")]
    allow_anywhere(role, channels, "The channels of SSM's agent know no resource; shell=off, the default, has none")


def allow_serving(role: iam.Role, *, repository_arn: str, log_group_arn: str) -> None:
    """What SageMaker needs for any endpoint: the image, the log, metrics."""
    pull = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    write_log = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    namespaces = {"StringLike": {"cloudwatch:namespace": ["AWS/SageMaker", "/aws/sagemaker/*"]}}
    allow(role, pull, [repository_arn])
    allow_anywhere(role, ["ecr:GetAuthorizationToken"], "A token for ECR and metrics know no resource")
    allow_anywhere(role, ["cloudwatch:PutMetricData"], "A token for ECR and metrics know no resource", namespaces)
    allow(role, write_log, [log_group_arn])
