"""`easel outputs`: what the deploy told, of all stacks at once, and what a shell needs to draw with it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from easel.cloud.account import Account, explained
from easel.cloud.stack_state import newest, outputs_of, resources_of
from easel.console.errors import ENVIRONMENT, CommandError

API, KEY = "EaselApi", "AWS::ApiGateway::ApiKey"
ORDER = ("EaselSite", API, "EaselModel", "EaselStorage", "EaselNotebook")
MACHINERY = ("ExportsOutput", "PublishOutput")
"""So begins what one stack tells another and nobody else."""


def read_outputs(account: Account) -> dict[str, str]:
    """By name, the page first. Raises CommandError where Easel is not deployed."""
    found = outputs_of(account)
    told = {key: value for name in ORDER for key, value in found.get(name, {}).items()}
    outputs = {key: value for key, value in told.items() if not key.startswith(MACHINERY)}
    if not outputs:
        why = "no stack of Easel has told anything"
        fix = "npx cdk deploy --all, or wait for its end (easel doctor), or another --region"
        raise CommandError("Easel is not deployed", where=account.region, why=why, fix=fix, code=ENVIRONMENT)
    return outputs


def exports(account: Account, outputs: Mapping[str, str]) -> str:
    """Lines for a POSIX shell, with the API's key. Raises CommandError where there is no API."""
    if "ApiUrl" not in outputs:
        fix = f"npx cdk deploy {API}"
        raise CommandError("There is no API yet", where=API, why="it has no output ApiUrl", fix=fix, code=ENVIRONMENT)
    told = {"EASEL_URL": outputs["ApiUrl"]}
    if id := newest(resources_of(account, API), KEY):
        with explained():
            told["EASEL_KEY"] = account.client("apigateway").get_api_key(apiKey=id, includeValue=True)["value"]
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in told.items())


def report(outputs: Mapping[str, str]) -> str:
    """One line each."""
    width = max(map(len, outputs))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in outputs.items())
