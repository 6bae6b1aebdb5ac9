"""Checks of the account and its region: identity, instance type, Lambda concurrency, CDK bootstrap."""

from __future__ import annotations

from easel.cloud.account import Account, aws_errors, is_not_found
from easel.cloud.doctor.check import Finding, check, failed, ok, unknown
from easel.cloud.doctor.plan import Plan
from easel.cloud.doctor.price_list import USAGE_TYPE, prices
from easel.cloud.known_failures import BUDGETS_DISABLED
from easel.cloud.stack_state import stack_status
from easel.console.errors import CommandError
from stacks.config.instances import instance_types
from stacks.config.regions import has_budgets

BOOTSTRAP_VERSION = 6
"""The oldest version of the CDK bootstrap stack that the templates accept."""
CONCURRENCY_MINIMUM = 10
"""Concurrent Lambda executions. The API needs one for each waiting caller, up to 25 s."""
UNRESERVED_MINIMUM = 100
"""Concurrent executions that AWS keeps unreserved for all functions of an account."""
WITHOUT_BUDGET = "If CloudFormation may not create a budget, deploy without: -c budget_usd=0"
REQUEST_CONCURRENCY = "Service Quotas, service lambda, 'Concurrent executions'"


@check("account", remedy="Set AWS credentials: export AWS_PROFILE=…, or aws sso login")
def identity(account: Account) -> Finding:
    """The AWS credentials work; shows whose they are."""
    with aws_errors():
        caller = account.client("sts").get_caller_identity()
    number, name = caller["Account"], caller["Arn"].split(":", 5)[5]
    return ok(f"Account {number[:4]}…{number[-4:]} as {name}, region {account.region}.")


@check("region", remedy="Choose another region, another -c instance_type or another -c mode.")
def region(account: Account, plan: Plan) -> Finding:
    """The region offers the instance type for endpoints of the mode, according to the AWS price list."""
    mode, instance_type = plan.settings.mode, plan.instance_type
    offered = prices(account, USAGE_TYPE[mode])
    if not offered and not prices(account, USAGE_TYPE["realtime"]):
        message = f"The AWS price list has no instance types for {account.region}."
        return unknown(message, "Look for the instance type in the SageMaker console of the region.")
    if instance_type in offered:
        usd = f"{offered[instance_type]:.4g} USD per running hour"
        return ok(f"{account.region} offers {instance_type} for mode {mode} at {usd}.")
    message = f"{account.region} does not offer {instance_type} for mode {mode}."
    fitting = [name for name in instance_types(plan.model) if name in offered] if plan.model else []
    own = f"{plan.model.id}=" if plan.model and plan.others else ""
    return failed(message, f"-c instance_type={own}{fitting[0]}, or another region" if fitting else "")


@check("concurrency", remedy=f"Request an increase: {REQUEST_CONCURRENCY}. Or remove reservations of other functions.")
def concurrency(account: Account, plan: Plan) -> Finding:
    """Lambda may run enough functions at once for the API."""
    with aws_errors():
        limit = account.client("lambda").get_account_settings()["AccountLimit"]
    free, total = limit["UnreservedConcurrentExecutions"], limit["ConcurrentExecutions"]
    if free < CONCURRENCY_MINIMUM:
        return failed(
            f"Lambda has {free} unreserved concurrent executions in {account.region}; {CONCURRENCY_MINIMUM} are needed."
        )
    if (reserved := plan.settings.api_concurrency) and total < reserved + UNRESERVED_MINIMUM:
        return failed(
            f"AWS will refuse api_concurrency={reserved}: Lambda has {total} concurrent executions, and "
            f"{UNRESERVED_MINIMUM} of them must stay unreserved.",
            f"-c api_concurrency=0, or request an increase: {REQUEST_CONCURRENCY}",
        )
    message = f"Lambda has {free} unreserved concurrent executions."
    if free < UNRESERVED_MINIMUM:
        hint = f"Before many people use it, request {UNRESERVED_MINIMUM}: {REQUEST_CONCURRENCY}"
        return ok(message, hint)
    return ok(message)


@check("budget", remedy=WITHOUT_BUDGET)
def budget(account: Account, plan: Plan) -> Finding | None:
    """The account may have a budget. Listed only if a deploy would create one, or if one is left."""
    usd, stack = plan.settings.budget_usd, account.names.budget
    if not has_budgets(account.region):
        return None
    if not usd:
        left = stack_status(account, stack)
        keep = f"To delete it: npx cdk destroy {stack} -c budget_usd=1"
        return ok(f"budget_usd is 0, but {stack} is still deployed.", keep) if left else None
    try:
        with aws_errors():
            number = account.client("sts").get_caller_identity()["Account"]
            account.client("budgets").describe_budgets(AccountId=number, MaxResults=1)
    except CommandError as error:
        if BUDGETS_DISABLED in error.why or "service control policy" in error.why:
            return failed(f"AWS Budgets refuses this account: {error.why.rstrip('.')}.")
        return unknown(f"AWS Budgets did not respond: {error.what} ({error.why.rstrip('.')}).", WITHOUT_BUDGET)
    return ok(f"The account may have a budget; that of Easel is {usd} USD a month.")


@check("bootstrap", remedy="AWS_REGION=<region> npx cdk bootstrap")
def bootstrap(account: Account) -> Finding:
    """The region has the CDK bootstrap stack, in a version that the templates accept."""
    fix = f"AWS_REGION={account.region} npx cdk bootstrap"
    try:
        with aws_errors():
            parameter = account.client("ssm").get_parameter(Name="/cdk-bootstrap/hnb659fds/version")
    except CommandError as error:
        if error.where == "ParameterNotFound" or is_not_found(error):
            return failed(f"{account.region} has no CDK bootstrap stack.", fix)
        raise
    version = int(parameter["Parameter"]["Value"])
    if version < BOOTSTRAP_VERSION:
        return failed(f"The CDK bootstrap stack has version {version}; {BOOTSTRAP_VERSION} or newer is needed.", fix)
    return ok(f"The CDK bootstrap stack has version {version}.")
