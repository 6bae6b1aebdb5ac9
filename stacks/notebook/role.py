"""What the notebook may do: what its cells do, under the names that they use, and no more."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from stacks.common.grants import acknowledge_arn, allow, allow_anywhere
from stacks.model.endpoint_role import allow_serving
from stacks.model.serving_image import ServingImage

NAMES = "easel-notebook-*"
"""Of models, configurations and endpoints that the notebook makes and, after `sagemaker-`, of its bucket."""
MAY = {
    "model": ("CreateModel", "DeleteModel"),
    "endpoint-config": ("CreateEndpointConfig", "DeleteEndpointConfig"),
    "endpoint": ("CreateEndpoint", "DescribeEndpoint", "DeleteEndpoint", "InvokeEndpoint", "InvokeEndpointAsync"),
}
LISTS = ["sagemaker:ListEndpoints", "sagemaker:ListEndpointConfigs", "sagemaker:ListModels", "s3:ListAllMyBuckets"]
_WHY = "The notebook names what it makes by a random number, after a prefix that nothing else has"


class NotebookRole(iam.Role):
    """The notebook's, and that of the endpoint which it makes; it may pass on itself and no other."""

    def __init__(self, scope: Construct, id: str, *, code: assets.Asset, instance_type: str) -> None:
        super().__init__(scope, id, assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"))
        allow(self, ["s3:GetObject"], [code.bucket.arn_for_objects(code.s3_object_key)])
        for kind, verbs in MAY.items():
            self._allow_named(
                [f"sagemaker:{verb}" for verb in verbs], f"sagemaker:{{region}}:{{account}}:{kind}/{NAMES}"
            )
        allow_anywhere(self, LISTS, "Lists know no resource; the last cell looks whether anything is left")
        self._allow_named(["s3:CreateBucket", "s3:DeleteBucket", "s3:ListBucket"], f"s3:::sagemaker-{NAMES}")
        objects = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
        self._allow_named(objects, f"s3:::sagemaker-{NAMES}/*")
        allow(self, ["iam:GetRole"], [self.role_arn])
        passed = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
        allow(self, ["iam:PassRole"], [self.role_arn], passed)
        self._serve(ServingImage(self, "Image", instance_type=instance_type).repository_arn)

    def _serve(self, repository_arn: str) -> None:
        """SageMaker writes the log of the endpoint, and the instance's own where the account has its group."""
        groups = "logs:{region}:{account}:log-group:/aws/sagemaker/"
        endpoints = self._named(f"{groups}Endpoints/{NAMES}")
        allow_serving(self, repository_arn=repository_arn, log_group_arn=endpoints)
        allow(self, ["logs:DeleteLogGroup"], [endpoints])
        write = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
        self._allow_named(write, f"{groups}NotebookInstances:*")

    def _allow_named(self, actions: list[str], pattern: str) -> None:
        allow(self, actions, [self._named(pattern)])

    def _named(self, pattern: str) -> str:
        acknowledge_arn(self, pattern, _WHY)
        stack = cdk.Stack.of(self)
        return f"arn:{stack.partition}:{pattern.format(region=stack.region, account=stack.account)}"
