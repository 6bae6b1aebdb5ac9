"""What `easel doctor` asks AWS before a deploy: whose account, what the region offers, what else is needed."""

from __future__ import annotations

from easel.cloud.account import Account, explained, missing
from easel.cloud.doctor.check import Check
from easel.cloud.doctor.plan import Plan
from easel.cloud.doctor.price_list import USAGE, prices
from easel.cloud.doctor.quotas import find_quota
from easel.console.errors import CommandError
from stacks.config.catalogue import CatalogueError, FolderSource, S3Source
from stacks.config.instances import instance_types
from stacks.config.regions import check_place
from stacks.config.settings import SettingsError

BOOTSTRAP = 6
"""The oldest version of the CDK's bootstrap stack that our templates take."""
BUILDS = "Concurrently running builds for Linux/Small environment"
LEAST_CALLS = 10
"""Calls of Lambda at once. The API needs one for each caller who waits, up to 25 s."""
MANY_CALLS = 100
"""Of so many AWS lets no function reserve a part."""


def identity(account: Account) -> Check:
    with explained():
        told = account.client("sts").get_caller_identity()
    number, who = told["Account"], told["Arn"].split(":", 5)[5]
    return Check("account", "ok", f"Account {number[:4]}…{number[-4:]} as {who}, in {account.region}.")


def settings(account: Account, plan: Plan) -> Check | None:
    """What synthesis would refuse in this region; None where it would not."""
    if plan.model:
        try:
            check_place(account.region, plan.settings, plan.model)
        except (SettingsError, CatalogueError) as error:
            return Check("settings", "failed", str(error), "docs/aws.md has all settings")
    return None


def region(account: Account, plan: Plan) -> Check:
    """From AWS's own price list: what is not sold is not there."""
    mode, instance = plan.settings.mode, plan.instance_type
    sold = prices(account, USAGE[mode])
    if not sold and not prices(account, USAGE["realtime"]):
        said = f"AWS's price list does not say what {account.region} offers."
        return Check("region", "unknown", said, "Look at the region's types in the console, or try")
    if instance in sold:
        said = f"{account.region} has {instance} for mode {mode}, at {sold[instance]:.4g} USD an hour while it runs."
        return Check("region", "ok", said)
    fitting = [name for name in instance_types(plan.model) if name in sold] if plan.model else []
    instead = f"-c instance_type={fitting[0]}, or another region" if fitting else "Another region, or another -c mode"
    return Check("region", "failed", f"{account.region} has no {instance} for mode {mode}.", instead)


def importing(account: Account, plan: Plan) -> Check | None:
    """Whether the account may run the build that brings the model in; None where none is needed."""
    if plan.model is None or isinstance(plan.model.source, FolderSource):
        return None
    found = find_quota(account, "codebuild", BUILDS)
    if found is None:
        return Check("import", "unknown", f"{account.region} tells of no quota '{BUILDS}'.")
    if found.value < 1:
        said = f"CodeBuild, which brings the model in, may not run in {account.region}: '{BUILDS}' is {found.value:g}."
        return Check("import", "failed", said, f"Ask for 1: {found.page(account)}")
    return Check("import", "ok", f"CodeBuild may run {found.value:g} builds at once; one brings the model in.")


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
