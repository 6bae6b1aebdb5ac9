"""Checks of the functions: their layer, and when deployed their archives, callers and the endpoint that they call."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any
from zipfile import ZipFile

from easel.cloud.account import ACCESS_DENIED, Account, aws_errors
from easel.cloud.doctor.check import Finding, check, failed, ok
from easel.cloud.doctor.plan import Plan
from easel.cloud.stack_state import DeployedEndpoint, newest_resource, outputs_of, resources_of, template_of
from easel.console.errors import CommandError
from stacks.config.powertools import PARAMETER, PYTHON, layer_without_parameter

FUNCTION, TABLE, USER_POOL = "AWS::Lambda::Function", "AWS::DynamoDB::Table", "AWS::Cognito::UserPool"
CALLED = re.compile(r":endpoint/([A-Za-z0-9-]+)")
"""End of an endpoint's ARN."""
READ_BY_OTHERS = 0o004
MISSING = ("ParameterNotFound", "ResourceNotFoundException")


@check("powertools", remedy=f"Publish a layer for {PYTHON}, then -c powertools_layer=<ARN>. Or choose another region.")
def powertools(account: Account, plan: Plan) -> Finding:
    """The region has the Powertools layer that the API's functions need."""
    arn = layer_without_parameter(plan.settings.powertools_layer, account.region)
    try:
        with aws_errors():
            if arn:
                account.client("lambda").get_layer_version_by_arn(Arn=arn)
            else:
                account.client("ssm").get_parameter(Name=PARAMETER)
    except CommandError as error:
        if error.where not in MISSING:
            raise
        return failed(f"{arn or PARAMETER} does not exist in {account.region}.")
    return ok(f"{account.region} has the Powertools layer.")


@check("archives", remedy="Delete the archive, deploy again, and update the code of existing functions.")
def archives(account: Account) -> Finding | None:
    """Lambda can read the functions' archives. Listed only if it cannot, and if you may read the CDK's bucket.

    A deploy from a checkout with umask 077 once published archives that no later deploy replaces: their names are
    hashes that leave the modes out.
    """
    for bucket, key in dict.fromkeys(_archives(account)):
        try:
            with aws_errors():
                body = account.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        except CommandError as error:
            if error.where in ("NoSuchKey", "NoSuchBucket") or is_denied(error):
                continue
            raise
        if name := _unreadable(body):
            update = f"aws lambda update-function-code --function-name … --s3-bucket {bucket} --s3-key {key}"
            return failed(
                f"Lambda cannot read {name} in s3://{bucket}/{key}: it was published from files that only their owner "
                "may read.",
                f"aws s3 rm s3://{bucket}/{key}, then npx cdk deploy --all. For a function that exists: {update}",
            )
    return None


def is_denied(error: CommandError) -> bool:
    cause = error.__cause__
    return getattr(cause, "response", {}).get("Error", {}).get("Code") in ACCESS_DENIED


def _archives(account: Account) -> Iterator[tuple[str, str]]:
    """Return bucket and key of each archive in the deployed templates."""
    with aws_errors():
        number = account.client("sts").get_caller_identity()["Account"]
    for properties in _functions(account, *(outputs_of(account).keys() & set(account.names.stacks))):
        code = properties.get("Code", {})
        if "S3Key" in code:
            bucket = code["S3Bucket"]
            text = bucket["Fn::Sub"] if isinstance(bucket, dict) else bucket
            yield text.replace("${AWS::AccountId}", number).replace("${AWS::Region}", account.region), code["S3Key"]


def _functions(account: Account, *stacks: str) -> Iterator[dict[str, Any]]:
    for stack in sorted(stacks):
        for resource in template_of(account, stack).values():
            if resource["Type"] == FUNCTION:
                yield resource["Properties"]


def _unreadable(archive: bytes) -> str:
    """Return a file that only its owner may read; empty if there is none. Mode 0: the archive has no modes."""
    modes = {info.filename: info.external_attr >> 16 for info in ZipFile(BytesIO(archive)).infolist()}
    return next((name for name, mode in modes.items() if mode and not mode & READ_BY_OTHERS), "")


@check("keys", remedy="npx cdk deploy EaselStorage --revert-drift, then create the keys again: easel keys create")
def keys(account: Account) -> Finding | None:
    """The table of API keys exists. Listed only if somebody has deleted it: then every request is refused."""
    storage = account.names.storage
    if storage not in outputs_of(account):
        return None
    table = newest_resource(resources_of(account, storage), TABLE)
    try:
        if table:
            with aws_errors():
                account.client("dynamodb").describe_table(TableName=table)
    except CommandError as error:
        if error.where not in MISSING:
            raise
        return failed(f"The table {table} of {storage} does not exist.")
    return None


@check("users", remedy="Invite somebody: easel outputs shows the InviteCommand.")
def users(account: Account) -> Finding | None:
    """Somebody can sign in. Listed with `sign_in=cognito` only."""
    outputs = outputs_of(account).get(account.names.users, {})
    pool = newest_resource(resources_of(account, account.names.users), USER_POOL) if outputs else ""
    if not pool:
        return None
    with aws_errors():
        count = account.client("cognito-idp").describe_user_pool(UserPoolId=pool)["UserPool"]["EstimatedNumberOfUsers"]
    if "InviteCommand" not in outputs:
        return ok(f"{count} people have signed in at the provider.")
    return ok(f"About {count} people can sign in.") if count else failed("Nobody is invited, so nobody can sign in.")


@check("api_endpoint", remedy="npx cdk deploy --all, with the settings of the last deploy of EaselModel")
def api_endpoint(account: Account, deployed: Sequence[DeployedEndpoint]) -> Finding | None:
    """The API calls the deployed endpoints. Listed only if it calls others: after a deploy of one stack alone.

    Its template names them where it lets the functions call them.
    """
    if account.names.api not in outputs_of(account):
        return None
    called = set(CALLED.findall(json.dumps(template_of(account, account.names.api))))
    names = {each.endpoint for each in deployed}
    if called and called != names:
        called_names, deployed_names = (" and ".join(sorted(each)) for each in (called, names))
        return failed(f"The API calls the endpoint {called_names}, but {deployed_names} is deployed.")
    return None
