"""IAM of the emulated services, by MiniStack's own evaluator: who may call, and what the role of a service may do."""

import functools
import hashlib
from collections.abc import Mapping, Sequence

import boto3
from ministack.core import iam_evaluator, responses
from ministack.core.iam_evaluator import (
    EvalContext,
    enforce,
    evaluate_resource_policy,
    pin_signed_body,
    pin_signed_request,
)
from ministack.core.router import extract_access_key_id
from ministack.services import iam, sts

from .role_permissions import Permission
from .service import ACCOUNT, REGION, ServiceError


def parse_policies_once() -> None:
    """Replace MiniStack's function, which parses all policies of the caller at each request."""
    parse = iam_evaluator.parse_policy_document
    cached = functools.lru_cache(1000)(parse)
    iam_evaluator.parse_policy_document = lambda text: cached(text) if isinstance(text, str) else parse(text)


def authorize(
    path: str, headers: Mapping[str, str], body: bytes, action: str, resource: str, keys: Mapping[str, str]
) -> None:
    """Check the signature of a POST and the caller's policies. Raises ServiceError as AWS would answer."""
    responses.set_request_account_id(ACCOUNT)
    responses.set_request_region(REGION)
    lowered = {name.lower(): value for name, value in headers.items()}
    pin_signed_request("POST", path, {}, [(name.encode(), value.encode()) for name, value in lowered.items()])
    pin_signed_body(body)
    key = extract_access_key_id(lowered, {})
    denial = enforce(key, action, action.partition(":")[0], REGION, resource_arn=resource, service_context=dict(keys))
    if denial is None:
        return
    if code := getattr(denial, "code", ""):
        raise ServiceError(code, denial.message)
    raise ServiceError(
        "AccessDeniedException",
        f"User: {denial.principal_arn} is not authorized to perform: {action} on resource: {resource} "
        f"because no identity-based policy allows the {action} action",
    )


def assume_role(role_arn: str, principal: str) -> boto3.Session:
    """Return the session that a service gets for a role that trusts it. Raises ServiceError."""
    keys = _create_keys(role_arn, principal)
    return boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], REGION)


def _create_keys(role_arn: str, principal: str) -> dict[str, str]:
    """Return the keys of an assumed role, always the same for a role and a service. Raises ServiceError."""
    name = role_arn.rsplit("/", 1)[-1]
    role = iam._roles.get_scoped(ACCOUNT, None, name)
    if role is None or not _trusts(role, principal):
        raise ServiceError("ValidationException", f"Could not assume role {role_arn}. Does it trust {principal}?")
    digest = hashlib.sha256(f"{role_arn} {principal}".encode()).hexdigest()
    keys = {"SecretAccessKey": digest[16:], "SessionToken": digest[::-1]}
    access_key = f"ASIA{digest[:16].upper()}"
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/SageMaker"
    sts.register_session(access_key, {"Arn": arn, "UserId": f"{name}:SageMaker", **keys})
    return {"AccessKeyId": access_key, **keys}


def check_permissions(role_arn: str, permissions: Sequence[Permission], principal: str) -> None:
    """Check what a service does in the name of a role. Raises ServiceError at the first denied action."""
    access_key = _create_keys(role_arn, principal)["AccessKeyId"]
    responses.set_request_account_id(ACCOUNT)
    for action, resource, context in permissions:
        service = action.partition(":")[0]
        if enforce(access_key, action, service, REGION, resource_arn=resource, service_context=context):
            message = f"User: {role_arn} is not authorized to perform: {action} on resource: {resource}"
            raise ServiceError("ValidationException", message)


def may_publish(policy: str, topic: str, principal: str) -> bool:
    """Return whether the policy of a topic lets a service publish for this account, by TLS."""
    account = {"aws:sourceaccount": ACCOUNT}
    context = EvalContext(
        "*", "Service", "", "sns:Publish", topic, REGION, service_context=account, secure_transport=True
    )
    return bool(evaluate_resource_policy(policy, context, principal).decision == "Allow")


def _trusts(role: Mapping[str, str], principal: str) -> bool:
    context = EvalContext(
        "*", "Service", "", "sts:AssumeRole", "*", REGION, service_context={"aws:sourceaccount": ACCOUNT}
    )
    return bool(evaluate_resource_policy(role["AssumeRolePolicyDocument"], context, principal).decision == "Allow")
