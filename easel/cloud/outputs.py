"""`easel outputs`: the outputs of all stacks, and the environment variables that the command line needs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from easel.cloud.account import Account, aws_errors
from easel.cloud.stack_state import newest_resource, outputs_of, resources_of
from easel.console.errors import ENVIRONMENT, CommandError
from easel.console.printable import printable
from stacks.config.names import API_STACK, MODEL_STACK, NOTEBOOK_STACK, SITE_STACK, STORAGE_STACK

API_KEY = "AWS::ApiGateway::ApiKey"
STACK_ORDER = (SITE_STACK, API_STACK, MODEL_STACK, STORAGE_STACK, NOTEBOOK_STACK)
INTERNAL_PREFIXES = ("ExportsOutput", "PublishOutput")
"""Start of the outputs that only other stacks read."""


def read_outputs(account: Account) -> dict[str, str]:
    """Return the outputs by name, those of the site first. Raises CommandError: Easel is not deployed."""
    stacks = outputs_of(account)
    all_outputs = {key: value for name in STACK_ORDER for key, value in stacks.get(name, {}).items()}
    outputs = {key: value for key, value in all_outputs.items() if not key.startswith(INTERNAL_PREFIXES)}
    if not outputs:
        why = "no stack of Easel has outputs"
        fix = "npx cdk deploy --all, wait for a running deploy (easel doctor), or choose another --region"
        raise CommandError("Easel is not deployed", where=account.region, why=why, fix=fix, code=ENVIRONMENT)
    return outputs


def exports(account: Account, outputs: Mapping[str, str]) -> str:
    """Return `export` lines for a POSIX shell: the API's URL and key. Raises CommandError: no API is deployed."""
    if "ApiUrl" not in outputs:
        why, fix = "it has no output ApiUrl", f"npx cdk deploy {API_STACK}"
        raise CommandError("The API is not deployed", where=API_STACK, why=why, fix=fix, code=ENVIRONMENT)
    variables = {"EASEL_URL": outputs["ApiUrl"]}
    if id := newest_resource(resources_of(account, API_STACK), API_KEY):
        with aws_errors():
            key = account.client("apigateway").get_api_key(apiKey=id, includeValue=True)
        variables["EASEL_KEY"] = key["value"]
    return "\n".join(f"export {name}={shlex.quote(printable(value))}" for name, value in variables.items())


def format_outputs(outputs: Mapping[str, str]) -> str:
    """Return one line for each output."""
    width = max(map(len, outputs))
    return "\n".join(printable(f"{name:<{width}}  {value}") for name, value in outputs.items())
