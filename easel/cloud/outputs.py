"""`easel outputs`: the outputs of all stacks, and the environment variables that the command line needs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from easel.cloud.account import Account, aws_errors
from easel.cloud.stack_state import newest_resource, outputs_of, resources_of
from easel.console.errors import ENVIRONMENT, CommandError
from easel.console.printable import printable
from stacks.config.names import USAGE_SLOT

API_KEY = "AWS::ApiGateway::ApiKey"
INTERNAL_PREFIXES = ("ExportsOutput", "PublishOutput")
"""Start of the outputs that only other stacks read."""


def read_outputs(account: Account) -> dict[str, str]:
    """Return the outputs by name, those of the site first. Raises CommandError: Easel is not deployed."""
    stacks, names = outputs_of(account), account.names
    order = (names.site, names.users, names.api, names.model, names.storage, names.notebook, names.budget)
    all_outputs = {key: value for name in order for key, value in stacks.get(name, {}).items()}
    outputs = {key: value for key, value in all_outputs.items() if not key.startswith(INTERNAL_PREFIXES)}
    if not outputs:
        why = f"no stack {account.names.prefix}… has outputs"
        fix = "npx cdk deploy --all, wait for a running deploy (easel doctor), or choose another --region"
        raise CommandError("Easel is not deployed", where=account.region, why=why, fix=fix, code=ENVIRONMENT)
    return outputs


def api_variables(account: Account, outputs: Mapping[str, str]) -> dict[str, str]:
    """Return the API's URL and, if it has keys, its key, by variable. Raises CommandError: no API is deployed."""
    api = account.names.api
    if "ApiUrl" not in outputs:
        why, fix = "it has no output ApiUrl", f"npx cdk deploy {api}"
        raise CommandError("The API is not deployed", where=api, why=why, fix=fix, code=ENVIRONMENT)
    variables = {"EASEL_URL": outputs["ApiUrl"]}
    if id := stack_key(resources_of(account, api)):
        with aws_errors():
            key = account.client("apigateway").get_api_key(apiKey=id, includeValue=True)
        variables["EASEL_KEY"] = key["value"]
    return variables


def stack_key(resources: list[dict[str, Any]]) -> str:
    """Return the id of the API's own key among the resources of its stack; empty if it has none."""
    return newest_resource([item for item in resources if USAGE_SLOT not in item["LogicalResourceId"]], API_KEY)


def exports(account: Account, outputs: Mapping[str, str]) -> str:
    """Return `export` lines for a POSIX shell: the API's URL and key. Raises CommandError: no API is deployed."""
    variables = api_variables(account, outputs)
    return "\n".join(f"export {name}={shlex.quote(printable(value))}" for name, value in variables.items())


def format_outputs(outputs: Mapping[str, str]) -> str:
    """Return one line for each output."""
    width = max(map(len, outputs))
    return "\n".join(printable(f"{name:<{width}}  {value}") for name, value in outputs.items())
