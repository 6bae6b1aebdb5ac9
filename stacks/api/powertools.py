"""The public Powertools layer, in the version that the laptop uses."""

from __future__ import annotations

from aws_cdk import Stack, Token
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from stacks.config.powertools import PARAMETER, layer_without_parameter


def powertools(scope: Construct, arn: str) -> lambda_.ILayerVersion:
    """Return the layer `arn`, or the public layer of the region if `arn` is empty."""
    region = Stack.of(scope).region
    known = layer_without_parameter(arn, "" if Token.is_unresolved(region) else region)
    arn = known or ssm.StringParameter.value_for_string_parameter(scope, PARAMETER)
    return lambda_.LayerVersion.from_layer_version_arn(scope, "Powertools", arn)
