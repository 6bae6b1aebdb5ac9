"""Checks of the deployed endpoint: its state, its configuration and its container's log."""

from __future__ import annotations

from typing import Any

from easel.cloud.account import Account, aws_errors, is_not_found
from easel.cloud.budget_stop import stopped_at
from easel.cloud.doctor.check import Finding, check, failed, ok, unknown
from easel.cloud.doctor.container_log import last_lines
from easel.cloud.known_failures import advice_for
from easel.cloud.stack_state import RECREATE_ENDPOINT, DeployedEndpoint, outputs_of
from easel.console.errors import CommandError
from stacks.config.names import IN_SERVICE, MOVING_STATES, endpoint_log_group

READ_LOG = "Read its log below."
SHOWN_LINES = 5
MESSAGE_CHARACTERS = 200


@check("endpoint", remedy="easel resume")
def endpoint(account: Account, deployed: DeployedEndpoint) -> Finding:
    """The endpoint is in service with the deployed configuration.

    SageMaker rolls a failed update back without an error: then an older configuration is in service.
    """
    name = deployed.endpoint
    try:
        with aws_errors():
            response = account.client("sagemaker").describe_endpoint(EndpointName=name)
    except CommandError as error:
        if is_not_found(error):
            message = f"{name} does not exist: it is paused, or was deleted outside CloudFormation."
            return failed(message, _recreate(account, deployed, exists=False))
        raise
    status, config = response["EndpointStatus"], response.get("EndpointConfigName", "")
    reason = response.get("FailureReason", "")
    advice = advice_for(reason) or READ_LOG
    if status in MOVING_STATES:
        return unknown(f"{name} is {status}.", "Run easel doctor again in some minutes.")
    if status != IN_SERVICE:
        message = f"{name} is {status}{f': {reason}' if reason else ''}."
        return failed(message, f"{advice} Then: {_recreate(account, deployed, exists=False)}")
    if config != deployed.config:
        return failed(
            f"{name} runs the configuration {config}, but {deployed.config} is deployed: SageMaker has rolled the "
            "update back.",
            f"{advice} If you have corrected the cause: npx cdk deploy --all. "
            f"If not: {_recreate(account, deployed, exists=True)}",
        )
    return ok(f"{name} is {IN_SERVICE} with the deployed configuration {config}; {_instances(response)}.")


@check("budget_stop", remedy="easel resume")
def budget_stop(account: Account) -> Finding | None:
    """The budget has not stopped the endpoint. Listed only with budget_action=stop, or while it is stopped."""
    if since := stopped_at(account):
        message = (
            f"The budget was used up at {since}. Since then the endpoint has no instances and takes no jobs. It stays "
            "so, also after a deploy and in the next month."
        )
        return failed(message, "If the budget was too low, raise budget_usd. Then: easel resume")
    action = outputs_of(account).get(account.names.model, {}).get("BudgetStopDoes")
    return ok(f"The endpoint is not stopped; {action}.") if action else None


def _recreate(account: Account, deployed: DeployedEndpoint, *, exists: bool) -> str:
    """Return the commands that create the endpoint as deployed. A deploy without changes does nothing."""
    if deployed.endpoint.startswith(account.names.endpoint_prefix("async")):
        return RECREATE_ENDPOINT
    return "easel pause, then easel resume" if exists else "easel resume"


def _instances(response: dict[str, Any]) -> str:
    count = sum(variant.get("CurrentInstanceCount", 0) for variant in response.get("ProductionVariants", ()))
    return f"{count} {'instance is' if count == 1 else 'instances are'} running"


@check("container_log", remedy="Depends on the failure that the log reports.")
def container_log(account: Account, deployed: DeployedEndpoint) -> Finding:
    """The last log lines of the endpoint's newest container report no known failure."""
    lines = last_lines(account, endpoint_log_group(deployed.endpoint))
    if not lines:
        return unknown("The container has written no log yet.", "Run easel doctor again when the endpoint has started.")
    failures = [(time, line) for time, line in lines if advice_for(line)]
    if not failures:
        return ok(f"The last {len(lines)} lines of the container's log report no known failure.")
    time, line = failures[-1]
    message = f"The container's log at {time:%Y-%m-%d %H:%M} UTC: {line[:MESSAGE_CHARACTERS]}"
    return Finding("failed", message, advice_for(line), tuple(text for _, text in lines[-SHOWN_LINES:]))
