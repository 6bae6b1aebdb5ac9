"""The notebook's role: exactly what the notebook's cells do, limited to the names that they use."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from stacks.common.grants import allow, allow_on_any_resource, service_of_this_account
from stacks.common.nag_suppressions import suppress_wildcard
from stacks.config.names import Names
from stacks.model.endpoint_role import allow_serving
from stacks.model.serving_image import ServingImage

ACTIONS = {  # the SageMaker SDK describes what it creates
    "model": ("CreateModel", "DescribeModel", "DeleteModel"),
    "endpoint-config": (
        "CreateEndpointConfig",
        "DescribeEndpointConfig",
        "DeleteEndpointConfig",
        "CreateEndpoint",
    ),
    "endpoint": ("CreateEndpoint", "DescribeEndpoint", "DeleteEndpoint", "InvokeEndpoint", "InvokeEndpointAsync"),
}
LISTS = ["sagemaker:ListEndpoints", "sagemaker:ListEndpointConfigs", "sagemaker:ListModels", "s3:ListAllMyBuckets"]
_LISTS_REASON = "IAM cannot limit lists to a resource; the last cell checks that nothing is left"
_NAMES_REASON = "The notebook ends its names with a random number, after a prefix that nothing else uses"


class NotebookRole(iam.Role):
    """The role of the notebook and of the endpoint that it creates. It can pass itself, and no other role."""

    def __init__(self, scope: Construct, id: str, *, code: assets.Asset, instance_type: str, names: Names) -> None:
        super().__init__(scope, id, assumed_by=service_of_this_account("sagemaker"))
        self._names = f"{names.notebook_resources}*"
        allow(self, ["s3:GetObject"], [code.bucket.arn_for_objects(code.s3_object_key)])
        for kind, verbs in ACTIONS.items():
            actions = [f"sagemaker:{verb}" for verb in verbs]
            self._allow_named(actions, f"sagemaker:{{region}}:{{account}}:{kind}/{self._names}")
        allow_on_any_resource(self, LISTS, reason=_LISTS_REASON)
        self._allow_named(["s3:CreateBucket", "s3:DeleteBucket", "s3:ListBucket"], f"s3:::sagemaker-{self._names}")
        objects = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
        self._allow_named(objects, f"s3:::sagemaker-{self._names}/*")
        allow(self, ["iam:GetRole"], [self.role_arn])
        passed = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
        allow(self, ["iam:PassRole"], [self.role_arn], passed)
        self._allow_serving(ServingImage(self, "Image", instance_type=instance_type).repository_arn)

    def _allow_serving(self, repository_arn: str) -> None:
        """Allow logs of the endpoint, and of the instance where the account has that log group already."""
        groups = "logs:{region}:{account}:log-group:/aws/sagemaker/"
        endpoints = self._named(f"{groups}Endpoints/{self._names}")
        allow_serving(self, repository_arn=repository_arn, log_group_arn=endpoints)
        allow(self, ["logs:DeleteLogGroup"], [endpoints])
        write = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
        self._allow_named(write, f"{groups}NotebookInstances:*")

    def _allow_named(self, actions: list[str], pattern: str) -> None:
        allow(self, actions, [self._named(pattern)])

    def _named(self, pattern: str) -> str:
        suppress_wildcard(self, pattern, _NAMES_REASON)
        stack = cdk.Stack.of(self)
        return f"arn:{stack.partition}:{pattern.format(region=stack.region, account=stack.account)}"
