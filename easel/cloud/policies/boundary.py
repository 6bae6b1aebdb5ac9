"""The permissions boundary of the roles that the stacks create: the union of what their policies allow.

It leaves out the keys of objects and the conditions, which change more often and which the policies themselves have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from easel.cloud.policies.assembly import Assembly
from easel.cloud.policies.documents import LIMIT, Statement, allow, size
from easel.cloud.policies.patterns import Patterns
from easel.console.errors import CommandError

RESOURCE_POLICIES = ("AWS::S3::BucketPolicy", "AWS::SNS::TopicPolicy", "AWS::SQS::QueuePolicy")
"""Types whose statements may name a role of the stacks. A boundary limits that role there, too."""


def boundary_statements(assembly: Assembly) -> Iterator[Statement]:
    """Yield the statements, one a resource."""
    patterns = Patterns(assembly)
    for stack, statement in _statements(assembly):
        for value in _as_list(statement["Resource"]):
            for resource in _without_key(patterns.resolve(value, stack)):
                yield allow(_as_list(statement["Action"]), [resource])


def check_size(statements: Sequence[Statement]) -> None:
    """Check that the statements fit into one policy, as a boundary must. Raises CommandError."""
    if (characters := size(statements)) > LIMIT:
        why = f"it would have {characters} characters; IAM allows {LIMIT}"
        fix = "Generate it from one folder of templates, without the stacks that you do not deploy"
        raise CommandError("The permissions boundary is too long", where="boundary", why=why, fix=fix)


def _statements(assembly: Assembly) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield stack and statement of everything that allows a role of the stacks something."""
    documents = [(stack, item["PolicyDocument"]) for stack, item in assembly.properties("AWS::IAM::Policy")]
    for stack, role in assembly.properties("AWS::IAM::Role"):
        documents += [(stack, policy["PolicyDocument"]) for policy in role.get("Policies", ())]
    for stack, content in documents:
        yield from ((stack, statement) for statement in _as_list(content["Statement"]))
    for type in RESOURCE_POLICIES:
        for stack, policy in assembly.properties(type):
            for statement in _as_list(policy["PolicyDocument"]["Statement"]):
                if statement["Effect"] == "Allow" and _names_role(statement.get("Principal"), stack, assembly):
                    yield stack, statement


def _names_role(principal: Any, stack: str, assembly: Assembly) -> bool:
    values = _as_list(principal.get("AWS", [])) if isinstance(principal, dict) else []
    ids = [value["Fn::GetAtt"][0] for value in values if isinstance(value, dict) and "Fn::GetAtt" in value]
    return any(assembly.templates[stack]["Resources"][id]["Type"] == "AWS::IAM::Role" for id in ids)


def _without_key(arn: str) -> Iterator[str]:
    """Yield the bucket and all its objects for the ARN of either; any other pattern as it is."""
    if not arn.startswith("arn:") or arn.split(":")[2] != "s3":
        yield arn
        return
    bucket = arn.partition("/")[0]
    yield bucket
    if not bucket.endswith("*"):
        yield f"{bucket}/*"


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
