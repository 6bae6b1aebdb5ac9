"""Values of templates as patterns of IAM: what CloudFormation decides later becomes a wildcard."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from easel.cloud.policies.assembly import ANY, Assembly

RESOURCES = {
    "AWS::DynamoDB::Table": ("dynamodb", "table/{name}", "TableName"),
    "AWS::IAM::Role": ("iam", "role/{name}", "RoleName"),
    "AWS::Lambda::Function": ("lambda", "function:{name}", "FunctionName"),
    "AWS::Logs::LogGroup": ("logs", "log-group:{name}*", "LogGroupName"),
    "AWS::S3::Bucket": ("s3", "{name}", "BucketName"),
    "AWS::SNS::Topic": ("sns", "{name}", "TopicName"),
    "AWS::SQS::Queue": ("sqs", "{name}", "QueueName"),
    "AWS::SageMaker::Endpoint": ("sagemaker", "endpoint/{name}", "EndpointName"),
}
"""Type to its service, the end of its ARN and the property with its name.

CloudFormation begins the name of a resource without one with the name of its stack. Types that are not here have names
that begin otherwise.
"""
BY_NAME = {"AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::IAM::Role", "AWS::Lambda::Function"}
"""Types whose `Ref` is the name. That of the others is the ARN."""
ENDPOINT_HASH = re.compile(r"-(async|realtime)[0-9a-f]{6}(-\*|\b)")
"""Part of an endpoint's name that changes with the mode and the instance types."""
GLOBAL = {"iam": {"region": ""}, "s3": {"region": "", "account": ""}}
"""Parts that the ARNs of a service leave empty."""


class Patterns:
    """Resolves the values of one assembly."""

    def __init__(self, assembly: Assembly) -> None:
        self.assembly = assembly
        self.values = {"AWS::Partition": assembly.partition, "AWS::AccountId": assembly.account,
                       "AWS::Region": assembly.region, "AWS::URLSuffix": ANY}  # fmt: skip

    def resolve(self, value: Any, stack: str) -> str:
        """Return the pattern of a template's value: a text, or a function of CloudFormation."""
        pattern = re.sub(r"\*+", ANY, self._resolve(value, stack))
        return ENDPOINT_HASH.sub("-*", pattern)

    def _resolve(self, value: Any, stack: str) -> str:
        if isinstance(value, str):
            return value
        if not isinstance(value, Mapping) or len(value) != 1:
            return ANY
        ((function, argument),) = value.items()
        match function:
            case "Ref":
                return self.values.get(argument) or self._resource(argument, "Ref", stack)
            case "Fn::GetAtt":
                return self._resource(argument[0], argument[1], stack)
            case "Fn::Join":
                return str(argument[0]).join(self._resolve(part, stack) for part in argument[1])
            case "Fn::ImportValue":
                return self._output(argument.partition(":")[0], "Export", argument)
            case "Fn::GetStackOutput":
                return self._output(argument["StackName"], "", argument["OutputName"])
        return ANY

    def _resource(self, id: str, attribute: str, stack: str) -> str:
        resource = self.assembly.templates[stack]["Resources"].get(id, {"Type": ""})
        if resource["Type"] not in RESOURCES:
            return ANY
        service, end, key = RESOURCES[resource["Type"]]
        own = resource.get("Properties", {}).get(key)
        name = self._resolve(own, stack) if own else generated_name(stack, service)
        if attribute == "Ref" and resource["Type"] in BY_NAME:
            return name
        arn = self.assembly.arn(service, end.format(name=name), **GLOBAL.get(service, {}))
        return arn if attribute in ("Ref", "Arn", "TopicArn") else ANY

    def _output(self, stack: str, kind: str, name: str) -> str:
        """Return the value of another stack's output, by the name of the output or of its export."""
        outputs = self.assembly.templates.get(stack, {}).get("Outputs", {})
        for id, output in outputs.items():
            if name == (output.get("Export", {}).get("Name") if kind else id):
                return self._resolve(output["Value"], stack)
        return ANY


def generated_name(stack: str, service: str) -> str:
    """Return the pattern of the names that CloudFormation chooses for a stack's resources."""
    return f"{stack.lower() if service == 's3' else stack}-*"
