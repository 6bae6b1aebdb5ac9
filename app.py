"""The CDK app: settings in, stacks out. Only this file reads the CDK's context and the environment.

`npx cdk deploy --all -c key=value` runs it; `stacks/config/settings.py` has the keys.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from cdk_nag import AwsSolutionsChecks

from stacks.api.models_layer import ServedModel
from stacks.api.stack import ApiStack
from stacks.budget.stack import BudgetStack
from stacks.cloud9.stack import Cloud9Stack
from stacks.common.asset_modes import normalise_asset_modes
from stacks.common.cost_tags import tag_all
from stacks.common.kms_key import encrypt_all
from stacks.config.catalogue import read_models
from stacks.config.instances import choose_all
from stacks.config.names import APP, APP_TAG, MODE_TAG, NAME_TAG
from stacks.config.regions import check_deployable, has_budgets
from stacks.config.settings import Settings, parse_settings
from stacks.config.user_context import read_user_context
from stacks.config.validation import ConfigError
from stacks.model.stack import MODEL_CODE, ModelStack
from stacks.notebook.stack import NotebookStack
from stacks.site.page import PageError
from stacks.site.stack import SiteStack
from stacks.storage.stack import StorageStack
from stacks.users.stack import UsersStack

ROOT = Path(__file__).parent
PAGE = ROOT / "web" / "dist"


def create_stacks(
    app: cdk.App,
    *,
    root: Path = ROOT,
    page: Path = PAGE,
    code: Path = MODEL_CODE,
    env: cdk.Environment | None = None,
    user_context: Mapping[str, Any] | None = None,
) -> None:
    """Add the stacks that the app's context asks for. `code` is the container's. Raises ConfigError or PageError."""
    settings = parse_settings(app.node.get_all_context(), user_context)
    models = [model.allowing(settings.content) for model in read_models(settings.models, root)]
    no_site = check_deployable(env.region or "" if env else "", settings, models)
    choices, names = choose_all(models, settings), settings.names

    storage = StorageStack(app, names.storage, settings=settings, env=env)
    users = UsersStack(app, names.users, settings=settings, env=env) if settings.sign_in == "cognito" else None
    model = ModelStack(app, names.model, settings=settings, choices=choices, storage=storage, code=code, env=env)
    api = ApiStack(
        app,
        names.api,
        settings=settings,
        served=[ServedModel(each.model, endpoint) for each, endpoint in zip(choices, model.endpoints, strict=True)],
        bucket=storage.bucket,
        accounts=storage.accounts,
        alerts=storage.alerts.topic,
        users=users,
        site=not no_site,
        env=env,
    )
    service: list[cdk.Stack] = [model, api, *([users] if users else [])]
    if no_site:
        cdk.Annotations.of(api).add_info(f"No page: {no_site}.")
    else:
        service.append(add_site(app, settings, api, users=users, storage=storage, page=page, env=env))
    add_optional_stacks(app, settings, storage, service=service, env=env)
    apply_to_all(app, settings)


def add_site(
    app: cdk.App,
    settings: Settings,
    api: ApiStack,
    *,
    users: UsersStack | None,
    storage: StorageStack,
    page: Path,
    env: cdk.Environment | None,
) -> SiteStack:
    """Add the page, which needs the API."""
    site = SiteStack(
        app,
        settings.names.site,
        settings=settings,
        api=api.api,
        page=page,
        users=users,
        store=storage.bucket,
        env=env,
    )
    site.add_stack_dependency(api)
    return site


def add_optional_stacks(
    app: cdk.App,
    settings: Settings,
    storage: StorageStack,
    *,
    service: Sequence[cdk.Stack],
    env: cdk.Environment | None,
) -> None:
    """Add what the service does not need. The budget comes last: the CDK deploys nothing after a stack that failed."""
    names = settings.names
    if settings.cloud9:
        Cloud9Stack(app, names.cloud9, settings=settings, env=env)
    if settings.notebook == "on":
        NotebookStack(app, names.notebook, settings=settings, env=env)
    if settings.budget_usd and has_budgets(env.region or "" if env else ""):
        budget = BudgetStack(app, names.budget, settings=settings, alerts=storage.alerts, env=env)
        for stack in service:
            budget.add_stack_dependency(stack)


def apply_to_all(app: cdk.App, settings: Settings) -> None:
    """Encrypt, tag and limit every resource, check all stacks by the AwsSolutions rules, let Lambda read the assets."""
    if settings.kms_key_arn:
        encrypt_all(app, settings.kms_key_arn)
    tag_all(app, {APP_TAG: APP, NAME_TAG: settings.name, MODE_TAG: settings.mode})
    if settings.permissions_boundary:
        limit_roles(app, settings.permissions_boundary)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    normalise_asset_modes(app)


def _arguments() -> argparse.Namespace:
    """Return the options of the program. `easel prove` deploys copies of the container's code that it has changed."""
    parser = argparse.ArgumentParser(description="The CDK app of Easel.")
    parser.add_argument("--model-code", type=Path, default=MODEL_CODE, help="folder of the container's code")
    return parser.parse_args()


def limit_roles(app: cdk.App, policy: str) -> None:
    """Give every role of the stacks a permissions boundary. `policy` is its name or ARN."""
    arn = policy if policy.startswith("arn:") else f"arn:{cdk.Aws.PARTITION}:iam::{cdk.Aws.ACCOUNT_ID}:policy/{policy}"
    for stack in app.node.children:
        if isinstance(stack, cdk.Stack):
            boundary = iam.ManagedPolicy.from_managed_policy_arn(stack, "PermissionsBoundary", arn)
            iam.PermissionsBoundary.of(stack).apply(boundary)


def main() -> None:
    # Two thirds of the time of a synth. The tests check the templates of all settings, and `make synth` the user's.
    app = cdk.App(builtin_cloud_formation_validation=os.environ.get("CDK_VALIDATION") == "true")
    account, region = (os.environ.get(f"CDK_DEFAULT_{name}") for name in ("ACCOUNT", "REGION"))
    env = cdk.Environment(account=account, region=region)
    try:
        code = _arguments().model_code
        create_stacks(app, code=code, env=env, user_context=read_user_context(ROOT, Path.home()))
    except (ConfigError, PageError) as error:
        sys.exit(f"easel: {error}")
    app.synth()


if __name__ == "__main__":
    main()
