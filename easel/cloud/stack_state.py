"""What CloudFormation says was deployed: the endpoint's name and the configuration that it ought to run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from easel.cloud.account import Account, explained, missing
from easel.console.errors import ENVIRONMENT, FAILED, CommandError

STACKS = ("EaselStorage", "EaselModel", "EaselApi", "EaselSite", "EaselCloud9", "EaselNotebook")
"""Theirs are the names before the first dash of what CloudFormation names."""
ALONE = {"EaselCloud9", "EaselNotebook"}
"""Need no other stack."""
STACK = "EaselModel"
ANEW = "npx cdk deploy EaselModel -c endpoint=off, then npx cdk deploy --all"
"""Has CloudFormation delete the endpoint, if it is there, and make it again."""
ENDPOINT, CONFIG = "AWS::SageMaker::Endpoint", "AWS::SageMaker::EndpointConfig"


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """Names of SageMaker: an endpoint, and the stack's newest configuration of it."""

    stack_status: str
    endpoint: str
    config: str


def find_deployed(account: Account) -> Deployed:
    """Raises CommandError where the stack is not there, or has no endpoint."""
    status = stack_status(account, STACK)
    if status is None:
        fix = "npx cdk deploy --all, or another --region"
        raise CommandError("Easel is not deployed", where=account.region, why=f"there is no stack {STACK}", fix=fix)
    resources = resources_of(account, STACK)
    names = {kind: newest(resources, kind) for kind in (ENDPOINT, CONFIG)}
    if not all(names.values()):
        raise _without_endpoint(status)
    config = _config_name(account, names[CONFIG])
    return Deployed(stack_status=status, endpoint=names[ENDPOINT].rsplit("/", 1)[-1], config=config)


def only_beside(account: Account) -> bool:
    """Whether what is deployed is none of the stacks that an endpoint comes with."""
    return outputs_of(account).keys() & set(STACKS) <= ALONE


def _without_endpoint(status: str) -> CommandError:
    """A stack of this status has none: why, and which command it takes."""
    what, why, code = "The stack has no endpoint", f"it is {status}", FAILED
    if status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        why, fix = "it was deployed with endpoint=off", "npx cdk deploy --all"
    elif status in ("UPDATE_ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS"):
        fix = "npx cdk deploy --all"
    elif status.endswith("_IN_PROGRESS"):
        what, fix, code = f"{what} yet", "Wait until it has ended", ENVIRONMENT
    else:
        fix = "npx cdk destroy --all, then npx cdk deploy --all"
    return CommandError(what, where=STACK, why=why, fix=fix, code=code)


def stack_status(account: Account, name: str) -> str | None:
    """None where there is no such stack."""
    try:
        with explained():
            stacks = account.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except CommandError as error:
        if missing(error):
            return None
        raise
    return str(stacks[0]["StackStatus"])


def outputs_of(account: Account) -> dict[str, dict[str, str]]:
    """What each stack told, by name."""
    with explained():
        return {
            one["StackName"]: {out["OutputKey"]: out["OutputValue"] for out in one.get("Outputs", ())}
            for one in account.all("cloudformation", "describe_stacks", "Stacks")
        }


def resources_of(account: Account, stack: str) -> list[dict[str, Any]]:
    """What CloudFormation says that the stack has."""
    with explained():
        return list(account.all("cloudformation", "list_stack_resources", "StackResourceSummaries", StackName=stack))


def template(account: Account) -> dict[str, Any]:
    """The resources of the stack as they were deployed."""
    with explained():
        body = account.client("cloudformation").get_template(StackName=STACK)["TemplateBody"]
    resources: dict[str, Any] = (json.loads(body) if isinstance(body, str) else body)["Resources"]
    return resources


def newest(resources: list[dict[str, Any]], kind: str) -> str:
    """What AWS calls the one that was changed last and is not on its way out; empty where there is none."""
    found = [
        one for one in resources
        if one["ResourceType"] == kind and one.get("PhysicalResourceId") and "DELETE" not in one["ResourceStatus"]
    ]  # fmt: skip
    return str(max(found, key=lambda one: one["LastUpdatedTimestamp"])["PhysicalResourceId"]) if found else ""


def _config_name(account: Account, id: str) -> str:
    """CloudFormation may keep the ARN, which SageMaker writes in lower case; the name is not."""
    with explained():
        for config in account.all("sagemaker", "list_endpoint_configs", "EndpointConfigs"):
            if id in (config["EndpointConfigArn"], config["EndpointConfigName"]):
                return str(config["EndpointConfigName"])
    raise CommandError(
        "The endpoint's configuration is gone",
        where=id,
        why=f"somebody deleted it, though {STACK} still has it",
        fix="npx cdk destroy --all, then npx cdk deploy --all",
    )
