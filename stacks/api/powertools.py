"""The public Powertools layer, in the version that the laptop uses."""

from __future__ import annotations

from aws_cdk import Stack, Token
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from stacks.common.function import RUNTIME
from stacks.config.regions import LAYERS_ELSEWHERE

VERSION = "3.37.0"
PARAMETER = f"/aws/service/powertools/python/x86_64/{RUNTIME.name}/{VERSION}"
"""AWS's public parameter with the layer's ARN. It exists in the regions of the partition `aws`."""


def powertools(scope: Construct, arn: str) -> lambda_.ILayerVersion:
    """Return the layer `arn`, or the public layer of the region if `arn` is empty."""
    if not arn:
        region = Stack.of(scope).region
        elsewhere = None if Token.is_unresolved(region) else LAYERS_ELSEWHERE.get(region)
        arn = (
            f"{elsewhere}:layer:AWSLambdaPowertoolsPythonV3-python313-x86_64:27"
            if elsewhere
            else ssm.StringParameter.value_for_string_parameter(scope, PARAMETER)
        )
    return lambda_.LayerVersion.from_layer_version_arn(scope, "Powertools", arn)
