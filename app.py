"""The CDK app: settings in, stacks out. Only this file reads the CDK's context and the environment.

`npx cdk deploy --all -c key=value` runs it; `stacks/config/settings.py` has the keys.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks

from stacks.api.stack import ApiStack
from stacks.cloud9.stack import Cloud9Stack
from stacks.common.asset_modes import normalise_asset_modes
from stacks.common.cost_tags import tag_all
from stacks.common.kms_key import encrypt_all
from stacks.config import names
from stacks.config.catalogue import read_model
from stacks.config.instances import choose_instances
from stacks.config.regions import check_deployable
from stacks.config.settings import Settings, parse_settings
from stacks.config.user_context import read_user_context
from stacks.config.validation import ConfigError
from stacks.model.stack import ModelStack
from stacks.notebook.stack import NotebookStack
from stacks.site.page import PageError
from stacks.site.stack import SiteStack
from stacks.storage.stack import StorageStack

ROOT = Path(__file__).parent
PAGE = ROOT / "web" / "dist"


def create_stacks(
    app: cdk.App,
    *,
    root: Path = ROOT,
    page: Path = PAGE,
    env: cdk.Environment | None = None,
    user_context: Mapping[str, Any] | None = None,
) -> None:
    """Add the stacks that the app's context asks for. Raises ConfigError or PageError."""
    settings = parse_settings(app.node.get_all_context(), user_context)
    model = read_model(settings.model, root)
    no_site = check_deployable(env.region or "" if env else "", settings, model)
    settings = choose_instances(model, settings)

    storage = StorageStack(app, names.STORAGE_STACK, settings=settings, env=env)
    endpoint = ModelStack(app, names.MODEL_STACK, settings=settings, model=model, bucket=storage.bucket, env=env)
    api = ApiStack(
        app,
        names.API_STACK,
        settings=settings,
        model=model,
        bucket=storage.bucket,
        endpoint=endpoint.endpoint,
        alerts=endpoint.alerts.topic,
        site=not no_site,
        env=env,
    )
    api.add_stack_dependency(endpoint)
    if no_site:
        cdk.Annotations.of(api).add_info(f"No page: {no_site}.")
    else:
        site = SiteStack(app, names.SITE_STACK, settings=settings, api=api.api, page=page, env=env)
        site.add_stack_dependency(api)
    if settings.cloud9:
        Cloud9Stack(app, names.CLOUD9_STACK, settings=settings, env=env)
    if settings.notebook == "on":
        NotebookStack(app, names.NOTEBOOK_STACK, settings=settings, env=env)
    apply_to_all(app, settings)


def apply_to_all(app: cdk.App, settings: Settings) -> None:
    """Encrypt and tag every resource, check all stacks by the AwsSolutions rules, and let Lambda read the assets."""
    if settings.kms_key_arn:
        encrypt_all(app, settings.kms_key_arn)
    tag_all(app, {names.APP_TAG: names.APP, names.MODE_TAG: settings.mode})
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    normalise_asset_modes(app)


def main() -> None:
    app = cdk.App()
    account, region = (os.environ.get(f"CDK_DEFAULT_{name}") for name in ("ACCOUNT", "REGION"))
    env = cdk.Environment(account=account, region=region)
    try:
        create_stacks(app, env=env, user_context=read_user_context(ROOT, Path.home()))
    except (ConfigError, PageError) as error:
        sys.exit(f"easel: {error}")
    app.synth()


if __name__ == "__main__":
    main()
