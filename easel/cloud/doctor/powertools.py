"""Check of the layer that the API's functions need."""

from __future__ import annotations

from easel.cloud.account import Account, aws_errors
from easel.cloud.doctor.check import Finding, check, failed, ok
from easel.cloud.doctor.plan import Plan
from easel.console.errors import CommandError
from stacks.config.powertools import PARAMETER, PYTHON, layer_without_parameter

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
