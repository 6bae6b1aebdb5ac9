"""What CloudFormation has deployed: stacks, their outputs and resources, the endpoint and its configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from easel.cloud.account import Account, aws_errors, is_not_found
from easel.console.errors import ENVIRONMENT, FAILED, CommandError

RECREATE_ENDPOINT = "npx cdk deploy EaselModel -c endpoint=off, then npx cdk deploy --all"
"""Lets CloudFormation delete the endpoint, if it exists, and create it again."""
RECREATE_MODEL = "npx cdk destroy EaselModel, then npx cdk deploy --all"
"""The other stacks stay: none refers to the model stack."""
DEPLOY_UNLESS_RUNNING = "If no deploy is running: npx cdk deploy --all"
ENDPOINT, ENDPOINT_CONFIG = "AWS::SageMaker::Endpoint", "AWS::SageMaker::EndpointConfig"


@dataclass(frozen=True, kw_only=True)
class DeployedEndpoint:
    """The status of the model stack, an endpoint's name and the name of its newest configuration.

    `model`: id of its model; empty if the stack has only one.
    """

    stack_status: str
    endpoint: str
    config: str
    model: str = ""


def find_endpoint(account: Account) -> DeployedEndpoint:
    """Read the endpoint of the first model. Raises CommandError as `find_endpoints` does."""
    return find_endpoints(account)[0]


def find_endpoints(account: Account) -> tuple[DeployedEndpoint, ...]:
    """Read the endpoints from the model stack, that of the first model first.

    Raises CommandError: there is no stack, or it has no endpoint.
    """
    stack = account.names.model
    status = stack_status(account, stack)
    if status is None:
        fix = "npx cdk deploy --all, or another --region"
        why = f"there is no stack {stack}"
        raise CommandError("Easel is not deployed", where=account.region, why=why, fix=fix)
    resources = resources_of(account, stack)
    if text := outputs_of(account).get(stack, {}).get("Endpoints", ""):
        models = {name: model for model, _, name in (each.partition("=") for each in text.split(","))}
        if several := _of_each_model(account, status, resources, models):
            return several
    names = {kind: newest_resource(resources, kind) for kind in (ENDPOINT, ENDPOINT_CONFIG)}
    if not all(names.values()):
        raise _no_endpoint(stack, status)
    config = _config_name(account, names[ENDPOINT_CONFIG])
    return (DeployedEndpoint(stack_status=status, endpoint=names[ENDPOINT].rsplit("/", 1)[-1], config=config),)


def _of_each_model(
    account: Account, status: str, resources: list[dict[str, Any]], models: Mapping[str, str]
) -> tuple[DeployedEndpoint, ...]:
    """Return the endpoints of several models (`models`: endpoint to id). Only the template says which configuration
    belongs to which."""
    physical = {
        resource["LogicalResourceId"]: resource.get("PhysicalResourceId", "")
        for resource in resources
        if "DELETE" not in resource["ResourceStatus"]
    }
    template = model_template(account)
    configs = {
        resource["Properties"]["EndpointName"]: resource["Properties"]["EndpointConfigName"]["Fn::GetAtt"][0]
        for id, resource in template.items()
        if resource["Type"] == ENDPOINT and physical.get(id)
    }
    return tuple(
        DeployedEndpoint(
            stack_status=status, endpoint=name, config=_config_name(account, physical[configs[name]]), model=model
        )
        for name, model in models.items()
        if physical.get(configs.get(name, ""))
    )


def has_only_standalone_stacks(account: Account) -> bool:
    """Return whether no deployed stack needs an endpoint."""
    names = account.names
    return outputs_of(account).keys() & set(names.stacks) <= {names.cloud9, names.notebook, names.budget, names.users}


def _no_endpoint(stack: str, status: str) -> CommandError:
    """Return the error for a model stack without an endpoint, with the command that its status allows."""
    what, why, code = "The stack has no endpoint", f"it is {status}", FAILED
    if status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        why, fix = "it was deployed with endpoint=off", "npx cdk deploy --all"
    elif status == "UPDATE_ROLLBACK_COMPLETE":
        fix = "npx cdk deploy --all"
    elif status == "REVIEW_IN_PROGRESS":
        what, fix, code = f"{what} yet", DEPLOY_UNLESS_RUNNING, ENVIRONMENT
    elif status.endswith("_IN_PROGRESS"):
        what, fix, code = f"{what} yet", "Wait until CloudFormation has finished", ENVIRONMENT
    else:
        fix = RECREATE_MODEL
    return CommandError(what, where=stack, why=why, fix=fix, code=code)


def stack_status(account: Account, name: str) -> str | None:
    """Return the status of a stack; None if there is no such stack. Raises CommandError."""
    try:
        with aws_errors():
            stacks = account.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except CommandError as error:
        if is_not_found(error):
            return None
        raise
    return str(stacks[0]["StackStatus"])


def outputs_of(account: Account) -> dict[str, dict[str, str]]:
    """Return the outputs of each stack in the region, by stack name. Raises CommandError."""
    with aws_errors():
        return {
            stack["StackName"]: {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", ())}
            for stack in account.items("cloudformation", "describe_stacks", "Stacks")
        }


def resources_of(account: Account, stack: str) -> list[dict[str, Any]]:
    """Return CloudFormation's summary of each resource in the stack. Raises CommandError."""
    with aws_errors():
        return list(account.items("cloudformation", "list_stack_resources", "StackResourceSummaries", StackName=stack))


def model_template(account: Account) -> dict[str, Any]:
    """Return the resources in the deployed template of the model stack. Raises CommandError."""
    return template_of(account, account.names.model)


def template_of(account: Account, stack: str) -> dict[str, Any]:
    """Return the resources in the deployed template of a stack; none before its first deploy. Raises CommandError."""
    with aws_errors():
        body = account.client("cloudformation").get_template(StackName=stack)["TemplateBody"]
    template = json.loads(body or "{}") if isinstance(body, str) else body
    resources: dict[str, Any] = template.get("Resources", {})
    return resources


def newest_resource(resources: list[dict[str, Any]], kind: str) -> str:
    """Return the physical id of the resource of a type that changed last and is not being deleted; empty if none."""
    candidates = [
        resource for resource in resources
        if resource["ResourceType"] == kind
        and resource.get("PhysicalResourceId")
        and "DELETE" not in resource["ResourceStatus"]
    ]  # fmt: skip
    newest = max(candidates, key=lambda resource: resource["LastUpdatedTimestamp"], default={"PhysicalResourceId": ""})
    return str(newest["PhysicalResourceId"])


def _config_name(account: Account, id: str) -> str:
    """Return the name of an endpoint configuration. `id` may be its ARN, which SageMaker writes in lower case."""
    with aws_errors():
        for config in account.items("sagemaker", "list_endpoint_configs", "EndpointConfigs"):
            if id in (config["EndpointConfigArn"], config["EndpointConfigName"]):
                return str(config["EndpointConfigName"])
    why = f"it was deleted outside CloudFormation; {account.names.model} still lists it"
    raise CommandError("The endpoint configuration does not exist", where=id, why=why, fix=RECREATE_MODEL)
