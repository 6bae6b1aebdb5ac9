"""IAM statements for roles, each limited to actions and, where an action has resources, to ARN prefixes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3

from stacks.common.kms_key import READ, WRITE, allow_key
from stacks.common.nag_suppressions import suppress, suppress_wildcard

_BUCKET = "{stack}:ExportsOutputFnGetAttStore1D2A845BArnE59B7AE7"
"""The ARN of the storage stack's bucket as the rule IAM5 writes it."""
_OBJECTS_REASON = "Keys below this prefix of our own bucket belong to jobs and releases that do not exist yet"


def service_of_this_account(service: str) -> iam.PrincipalBase:
    """Return the principal of a service that acts for this account, and for no other: "confused deputy"."""
    principal = iam.ServicePrincipal(f"{service}.amazonaws.com")
    return principal.with_conditions({"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}})


def allow(
    role: iam.Role, actions: Sequence[str], resources: Sequence[str], conditions: Mapping[str, object] | None = None
) -> None:
    """Allow `actions` on `resources`."""
    role.add_to_policy(iam.PolicyStatement(actions=actions, resources=resources, conditions=conditions))


def allow_on_any_resource(
    role: iam.Role, actions: Sequence[str], *, reason: str, conditions: Mapping[str, object] | None = None
) -> None:
    """Allow actions that IAM cannot limit to a resource."""
    allow(role, actions, ["*"], conditions)
    suppress(role, {"AwsSolutions-IAM5[Resource::*]": reason})


def allow_on_all_of_type(
    role: iam.Role,
    actions: Sequence[str],
    *,
    service: str,
    resource_type: str,
    reason: str,
    conditions: Mapping[str, object] | None = None,
) -> None:
    """Allow `actions` on every `resource_type` of this account and region, for names that are not known yet."""
    arn = cdk.Stack.of(role).format_arn(service=service, resource=resource_type, resource_name="*")
    allow(role, actions, [arn], conditions)
    suppress_wildcard(role, f"{service}:{{region}}:{{account}}:{resource_type}/*", reason)


def allow_objects(role: iam.Role, bucket: s3.IBucket, actions: Sequence[str], *patterns: str) -> None:
    """Allow `actions` on the objects of `bucket` whose keys match `patterns`, and the bucket's KMS key with them."""
    allow(role, actions, [bucket.arn_for_objects(pattern) for pattern in patterns])
    if "s3:GetObject" in actions or "s3:PutObject" in actions:
        allow_key(role, bucket.encryption_key, "s3", WRITE if "s3:PutObject" in actions else READ)
    arn = _BUCKET.format(stack=cdk.Stack.of(bucket).stack_name)
    suppress(role, {f"AwsSolutions-IAM5[Resource::{arn}/{pattern}]": _OBJECTS_REASON for pattern in patterns})


def allow_listing(role: iam.Role, bucket: s3.IBucket, *patterns: str) -> None:
    """Allow listing the keys that match `patterns`.

    For a missing object S3 responds 403 to such a role. It would respond 404 only to one that may list without a
    prefix, which is every key of the bucket. So code that reads what may be missing looks into the list.
    """
    allow(role, ["s3:ListBucket"], [bucket.bucket_arn], {"StringLike": {"s3:prefix": list(patterns)}})
