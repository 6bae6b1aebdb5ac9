"""The public Powertools layer, at the version that the laptop has."""

from __future__ import annotations

from aws_cdk import Stack, Token
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from stacks.parts.function import RUNTIME

VERSION = "3.37.0"
PARAMETER = f"/aws/service/powertools/python/x86_64/{RUNTIME.name}/{VERSION}"
"""AWS's public parameter with the layer's ARN, in the regions of the partition `aws`."""

_ELSEWHERE = {
    "cn-north-1": "arn:aws-cn:lambda:cn-north-1:498634801083",
    "us-gov-east-1": "arn:aws-us-gov:lambda:us-gov-east-1:165087284144",
    "us-gov-west-1": "arn:aws-us-gov:lambda:us-gov-west-1:165093116878",
}
"""Regions without the parameter. Source: Powertools' installation page, which names layer 27 (3.23.0) for them."""

_PUBLISHED = (
    "af-south-1", "ap-east-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-south-2",
    "ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ap-southeast-7",
    "ca-central-1", "ca-west-1", "eu-central-1", "eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1",
    "eu-west-2", "eu-west-3", "il-central-1", "mx-central-1", "sa-east-1", "us-east-1", "us-east-2", "us-west-1",
    "us-west-2",
)  # fmt: skip
"""Regions with the parameter. Source: `.github/workflows/update_ssm.yml` of Powertools, which writes it."""
REGIONS = frozenset((*_PUBLISHED, *_ELSEWHERE))


def powertools(scope: Construct, arn: str) -> lambda_.ILayerVersion:
    """The layer `arn`, or the public one of the region where it is empty."""
    if not arn:
        region = Stack.of(scope).region
        elsewhere = None if Token.is_unresolved(region) else _ELSEWHERE.get(region)
        arn = (
            f"{elsewhere}:layer:AWSLambdaPowertoolsPythonV3-python313-x86_64:27"
            if elsewhere
            else ssm.StringParameter.value_for_string_parameter(scope, PARAMETER)
        )
    return lambda_.LayerVersion.from_layer_version_arn(scope, "Powertools", arn)
