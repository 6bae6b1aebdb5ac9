"""What `easel doctor` asks AWS before a deploy: whose account, what the region offers, what the quotas let through."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from easel.cloud.account import Account, explained, missing
from easel.cloud.check import Check
from easel.cloud.plan import Plan
from easel.command_error import CommandError
from stacks.catalogue import FolderSource, S3Source
from stacks.instances import instance_types

BOOTSTRAP = 6
"""The oldest version of the CDK's bootstrap stack that our templates take."""
BUILDS = "Concurrently running builds for Linux/Small environment"
LEAST_CALLS = 10
"""Calls of Lambda at once. The API needs one for each caller who waits, up to 25 s."""
MANY_CALLS = 100
"""Of so many AWS lets no function reserve a part."""
PRICING = {"aws": "us-east-1", "aws-cn": "cn-northwest-1"}
"""Where the price list of a partition is asked for."""
CONSOLES = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}
USAGE = {"async": "AsyncInf", "realtime": "Host"}
"""What the price list calls an instance behind an endpoint of the mode."""
PENDING = ("PENDING", "CASE_OPENED")


def identity(account: Account) -> Check:
    with explained():
        told = account.client("sts").get_caller_identity()
    number, who = told["Account"], told["Arn"].split(":", 5)[5]
    return Check("account", "ok", f"Account {number[:4]}…{number[-4:]} as {who}, in {account.region}.")


def region(account: Account, plan: Plan) -> Check:
    """From AWS's own price list: what is not sold is not there."""
    mode, instance = plan.settings.mode, plan.instance_type
    prices = _prices(account, USAGE[mode])
    if not prices and not _prices(account, USAGE["realtime"]):
        said = f"AWS's price list does not say what {account.region} offers."
        return Check("region", "unknown", said, "Look at the region's types in the console, or try")
    if instance in prices:
        said = f"{account.region} has {instance} for mode {mode}, at {prices[instance]:.4g} USD an hour while it runs."
        return Check("region", "ok", said)
    fitting = [name for name in instance_types(plan.model) if name in prices] if plan.model else []
    instead = f"-c instance_type={fitting[0]}, or another region" if fitting else "Another region, or another -c mode"
    return Check("region", "failed", f"{account.region} has no {instance} for mode {mode}.", instead)


def _prices(account: Account, usage: str) -> Mapping[str, float]:
    """USD per hour by instance type. GovCloud has no list of its own."""
    where = PRICING.get(account.partition)
    if where is None:
        return {}
    filters = [
        {"Type": "TERM_MATCH", "Field": "regionCode", "Value": account.region},
        {"Type": "CONTAINS", "Field": "usagetype", "Value": f"{usage}:ml."},
    ]
    with explained():
        found = account.all(
            "pricing", "get_products", "PriceList", region=where, ServiceCode="AmazonSageMaker", Filters=filters
        )
        return dict(_price(json.loads(item)) for item in found)


def _price(item: Mapping[str, Any]) -> tuple[str, float]:
    instance: str = item["product"]["attributes"]["usagetype"].rsplit(":", 1)[-1]
    terms = item.get("terms", {}).get("OnDemand", {}).values()
    prices = [next(iter(one["pricePerUnit"].values())) for term in terms for one in term["priceDimensions"].values()]
    return instance, max(map(float, prices), default=0.0)


def quota(account: Account, plan: Plan, *, request: bool) -> Check:
    """A second instance comes for minutes when an update is deployed."""
    return _quota_of(account, plan.instance_type, plan.settings.max_instances, request)


def fallbacks(account: Account, plan: Plan, *, request: bool) -> Check | None:
    """Whether the other types can be had, too; None where there are none."""
    names, mode = plan.settings.pool[1:], plan.settings.mode
    if not names:
        return None
    prices = _prices(account, USAGE[mode])
    absent = [
        Check("fallbacks", "failed", f"{account.region} has no {name} for mode {mode}.", "Take it out of the list")
        for name in names if prices and name not in prices
    ]  # fmt: skip
    quotas = [_quota_of(account, name, plan.settings.max_instances, request) for name in names]
    lacking = absent + [check for check in quotas if check.mark == "failed"]
    if lacking:
        return Check("fallbacks", "failed", " ".join(check.said for check in lacking), lacking[0].fix)
    return Check("fallbacks", "ok", f"{', '.join(names)}: there, and with a quota.")


def _quota_of(account: Account, instance: str, needed: int, request: bool) -> Check:
    """By name: the codes differ."""
    name = f"{instance} for endpoint usage"
    found = _quota(account, "sagemaker", name)
    if found is None:
        return Check(
            "quota", "failed", f"{account.region} has no quota '{name}': no such type there.", "Another region"
        )
    code, value = found
    if value >= needed:
        tight = "" if value > needed else "; an update may need one more for minutes"
        return Check("quota", "ok", f"{name} is {value:g}, {needed} needed{tight}.")
    said = f"{name} is {value:g} in {account.region}; {needed} needed."
    if asked := _asked(account, code):
        return Check("quota", "failed", f"{said} More was asked for ({asked}).", "Wait: hours to days")
    if request:
        return _request(account, code, needed, said)
    return Check("quota", "failed", said, f"easel doctor --request, or {_page(account, 'sagemaker', code)}")


def _page(account: Account, service: str, code: str) -> str:
    host = f"{account.region}.{CONSOLES[account.partition]}"
    return f"https://{host}/servicequotas/home/services/{service}/quotas/{code}"


def _quota(account: Account, service: str, name: str) -> tuple[str, float] | None:
    """Code and value: the account's, or where it has none of its own AWS's default."""
    for operation in ("list_service_quotas", "list_aws_default_service_quotas"):
        with explained():
            for one in account.all("service-quotas", operation, "Quotas", ServiceCode=service):
                if one["QuotaName"] == name:
                    return one["QuotaCode"], one["Value"]
    return None


def _asked(account: Account, code: str) -> str:
    """The status of a request that is open; empty where there is none."""
    history = "list_requested_service_quota_change_history_by_quota"
    with explained():
        asked = account.all(
            "service-quotas", history, "RequestedQuotas", ServiceCode="sagemaker", QuotaCode=code
        )  # fmt: skip
        return next((str(one["Status"]) for one in asked if one["Status"] in PENDING), "")


def _request(account: Account, code: str, needed: int, said: str) -> Check:
    with explained():
        told = account.client("service-quotas").request_service_quota_increase(
            ServiceCode="sagemaker", QuotaCode=code, DesiredValue=float(needed)
        )["RequestedQuota"]
    return Check("quota", "failed", f"{said} {needed} was asked for now ({told['Status']}).", "Wait: hours to days")


def importing(account: Account, plan: Plan) -> Check | None:
    """Whether the account may run the build that brings the model in; None where none is needed."""
    if plan.model is None or isinstance(plan.model.source, FolderSource):
        return None
    found = _quota(account, "codebuild", BUILDS)
    if found is None:
        return Check("import", "unknown", f"{account.region} tells of no quota '{BUILDS}'.")
    code, value = found
    if value < 1:
        said = f"CodeBuild, which brings the model in, may not run in {account.region}: '{BUILDS}' is {value:g}."
        return Check("import", "failed", said, f"Ask for 1: {_page(account, 'codebuild', code)}")
    return Check("import", "ok", f"CodeBuild may run {value:g} builds at once; one brings the model in.")


def files(account: Account, plan: Plan) -> Check | None:
    """Whether a model in S3 is there; None where it is none."""
    if plan.model is None or not isinstance(plan.model.source, S3Source):
        return None
    uri = plan.model.source.uri
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    try:
        with explained():
            account.client("s3").head_object(Bucket=bucket, Key=f"{prefix}model_index.json")
    except CommandError as error:
        if error.where in ("404", "NoSuchKey", "NoSuchBucket"):
            return Check("files", "failed", f"There is no {uri}model_index.json.", "Mend source.uri of the entry")
        raise
    return Check("files", "ok", f"{uri} holds a diffusers pipeline.")


def token(account: Account, plan: Plan) -> Check | None:
    """Whether the secret with the hub's token is there; None where none is named or needed."""
    name = plan.settings.hub_token_secret
    if not name and not (plan.model and plan.model.gated):
        return None
    store = "aws secretsmanager create-secret --name hub-token --secret-string file://token.txt"
    if not name:
        said = "The hub wants a token for this model, and hub_token_secret names none."
        return Check("token", "failed", said, f"{store}, then -c hub_token_secret=hub-token")
    try:
        with explained():
            told = account.client("secretsmanager").describe_secret(SecretId=name)
    except CommandError as error:
        if error.where != "ResourceNotFoundException":
            raise
        return Check("token", "failed", f"There is no secret {name} in {account.region}.", store)
    if "DeletedDate" in told:
        fix = f"aws secretsmanager restore-secret --secret-id {name}"
        return Check("token", "failed", f"The secret {name} was deleted.", fix)
    return Check("token", "ok", f"The secret {name} is there.")


def concurrency(account: Account, plan: Plan) -> Check:
    with explained():
        limit = account.client("lambda").get_account_settings()["AccountLimit"]
    free, total = limit["UnreservedConcurrentExecutions"], limit["ConcurrentExecutions"]
    fix = "Ask for more: Service Quotas, lambda, 'Concurrent executions'; or free what other functions reserve"
    if free < LEAST_CALLS:
        said = f"Lambda has {free} calls at once left in {account.region}; {LEAST_CALLS} are needed."
        return Check("lambda", "failed", said, fix)
    if (reserved := plan.settings.api_concurrency) and total < reserved + MANY_CALLS:
        said = (
            f"Lambda runs {total} calls at once and keeps {MANY_CALLS} for all: api_concurrency={reserved} is refused."
        )
        return Check("lambda", "failed", said, f"-c api_concurrency=0, or: {fix[0].lower()}{fix[1:]}")
    few = "" if free >= MANY_CALLS else f": enough for a try, ask for {MANY_CALLS} before many draw at once"
    return Check("lambda", "ok", f"Lambda runs {free} calls at once{few}.")


def bootstrap(account: Account) -> Check:
    fix = f"AWS_REGION={account.region} npx cdk bootstrap"
    try:
        with explained():
            told = account.client("ssm").get_parameter(Name="/cdk-bootstrap/hnb659fds/version")
    except CommandError as error:
        if error.where == "ParameterNotFound" or missing(error):
            return Check("bootstrap", "failed", f"The CDK was not bootstrapped in {account.region}.", fix)
        raise
    version = int(told["Parameter"]["Value"])
    if version < BOOTSTRAP:
        return Check("bootstrap", "failed", f"The bootstrap stack is version {version}; {BOOTSTRAP} is needed.", fix)
    return Check("bootstrap", "ok", f"The bootstrap stack is version {version}.")
