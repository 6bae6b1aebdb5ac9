"""Every policy of the templates, against AWS's table of the resource types that each action is authorized on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import Any

import pytest

from tests.stacks.assembly import Assembly

TABLE = json.loads((files("cfnlint") / "data/AdditionalSpecs/Policies.json").read_text())
"""AWS's service authorization reference, as cfn-lint ships it: service to actions and resource types."""
OPTIONAL = {
    "s3:accesspoint",
    "s3:accesspointobject",
    "sagemaker:inference-component",
}
"""Types that AWS checks only where a request names one. No request of Easel does."""
BY_REQUEST = {"apigateway"}
"""Services whose actions are HTTP methods: AWS authorizes each on the one resource that the request names."""
EXAMPLES = {
    "AWS::ApiGateway::ApiKey": "x",
    "AWS::CodeBuild::Project": "arn:aws:codebuild:us-east-1:123456789012:project/x",
    "AWS::DynamoDB::Table": "arn:aws:dynamodb:us-east-1:123456789012:table/x",
    "AWS::IAM::Role": "arn:aws:iam::123456789012:role/x",
    "AWS::Lambda::Function": "arn:aws:lambda:us-east-1:123456789012:function:x",
    "AWS::Logs::LogGroup": "arn:aws:logs:us-east-1:123456789012:log-group:x:*",
    "AWS::S3::Bucket": "arn:aws:s3:::x",
    "AWS::SNS::Topic": "arn:aws:sns:us-east-1:123456789012:x",
    "AWS::SQS::Queue": "arn:aws:sqs:us-east-1:123456789012:x",
    "AWS::SageMaker::Endpoint": "arn:aws:sagemaker:us-east-1:123456789012:endpoint/x",
    "AWS::SageMaker::NotebookInstance": "arn:aws:sagemaker:us-east-1:123456789012:notebook-instance/x",
}
"""Resource type to the form of the ARN that `Ref` or `Arn` returns in a policy."""


def resolve(value: Any, assembly: Assembly, stack: str) -> str:
    """Return an ARN of a policy with an example for each reference to a resource."""
    if isinstance(value, str):
        return value
    ((function, argument),) = value.items()
    if function == "Fn::Join":
        return "".join(resolve(part, assembly, stack) for part in argument[1])
    if function in ("Fn::ImportValue", "Fn::GetStackOutput"):
        name = argument if isinstance(argument, str) else argument["OutputName"]
        owner, output = next(found for found in outputs(assembly) if name in found[1])
        return resolve(output[name], assembly, owner)
    id = argument[0] if isinstance(argument, list) else argument
    resource = assembly.templates[stack]["Resources"].get(id)
    return EXAMPLES[resource["Type"]] if resource else "x"


def outputs(assembly: Assembly) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each stack with its outputs, by id and by name of export."""
    for stack, template in assembly.templates.items():
        for id, output in template.get("Outputs", {}).items():
            yield stack, {id: output["Value"], output.get("Export", {}).get("Name", id): output["Value"]}


def policies(assembly: Assembly) -> Iterator[dict[tuple[str, ...], list[str]]]:
    """Yield the actions of each statement to their resources, for each policy."""
    for stack, template in assembly.templates.items():
        for resource in template["Resources"].values():
            properties = resource.get("Properties", {})
            own = properties.get("Policies", []) if resource["Type"] == "AWS::IAM::Role" else []
            for policy in (properties, *own):
                found: dict[tuple[str, ...], list[str]] = {}
                for statement in policy.get("PolicyDocument", {}).get("Statement", []):
                    arns = [resolve(arn, assembly, stack) for arn in as_list(statement["Resource"])]
                    found.setdefault(tuple(as_list(statement["Action"])), []).extend(arns)
                yield found


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def required_types(pattern: str) -> set[str]:
    """Return the types, as `service:type`, that AWS authorizes the actions of a pattern on."""
    service, name = pattern.lower().split(":")
    found = [entry for action, entry in TABLE[service]["Actions"].items() if fnmatchcase(action, name)]
    assert found, f"AWS has no action {pattern}"
    types = {f"{service}:{kind.lower()}" for entry in found for kind in entry.get("Resources", [])}
    return types - OPTIONAL


def is_of_type(arn: str, kind: str) -> bool:
    service, name = kind.split(":")
    if arn == "*":
        return True
    if kind in ("s3:bucket", "s3:object"):  # the table has the same form for both
        return arn.split(":")[2] == "s3" and ("/" in arn) == (kind == "s3:object")
    formats = {key.lower(): value["ARNFormats"] for key, value in TABLE[service]["Resources"].items()}[name]
    return any(re.fullmatch(re.sub(r"\$\{\w+\}", "[^:]*", form), arn) for form in formats)


def faults(policy: dict[tuple[str, ...], list[str]]) -> Iterator[str]:
    """Yield what a policy lacks, and what it allows in vain."""
    for actions, arns in policy.items():
        types = {kind for action in actions for kind in required_types(action)}
        for arn in arns:
            if arn != "*" and not any(is_of_type(arn, kind) for kind in types):
                yield f"AWS never authorizes {actions} on {arn}"
    named = {action for actions in policy for action in actions if "*" not in action}
    for action in {action for action in named if action.partition(":")[0] not in BY_REQUEST}:
        granted = [arn for actions, arns in policy.items() if action in actions for arn in arns]
        for kind in required_types(action):
            if not any(is_of_type(arn, kind) for arn in granted):
                yield f"AWS authorizes {action} on {kind} too"


def test_each_action_is_allowed_on_every_type_that_aws_checks(each: Assembly) -> None:
    found = [fault for policy in policies(each) for fault in faults(policy)]
    assert found == []


def test_nobody_can_list_without_a_prefix(each: Assembly) -> None:
    operators = {
        operator
        for policy in each.resources("AWS::IAM::Policy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Action"] == "s3:ListBucket"
        for operator, keys in statement["Condition"].items()
        if "s3:prefix" in keys
    }
    assert operators == {"StringLike"}


def test_a_function_can_list_what_it_reads(each: Assembly) -> None:
    """S3 responds 403 for a missing object, so the code asks the list whether it exists."""
    for id, policy in each.resources("AWS::IAM::Policy", "EaselApi").items():
        statements = policy["Properties"]["PolicyDocument"]["Statement"]
        read = {
            end(arn)
            for item in statements
            if "s3:GetObject" in as_list(item["Action"])
            for arn in as_list(item["Resource"])
        }
        conditions = [
            item["Condition"]["StringLike"]["s3:prefix"] for item in statements if item["Action"] == "s3:ListBucket"
        ]
        assert read == {pattern for patterns in conditions for pattern in as_list(patterns)}, id


def end(arn: Any) -> str:
    """Return the keys of an ARN of objects."""
    return str(arn["Fn::Join"][1][-1]).removeprefix("/")


@pytest.mark.parametrize(
    ("action", "arn"),
    [
        ("sagemaker:CreateEndpoint", EXAMPLES["AWS::SageMaker::Endpoint"]),
        ("sagemaker:ListModels", "arn:aws:sagemaker:us-east-1:123456789012:model/x"),
        ("s3:GetObject", EXAMPLES["AWS::S3::Bucket"]),
        ("s3:ListBucket", EXAMPLES["AWS::S3::Bucket"] + "/*"),
        ("sns:Publish", EXAMPLES["AWS::SQS::Queue"]),
    ],
)
def test_a_missing_or_foreign_type_is_found(action: str, arn: str) -> None:
    assert list(faults({(action,): [arn]}))
