"""The cloud's composition root: settings in, stacks out. It alone reads context and environment.

`npx cdk deploy --all -c key=value` runs it; `stacks/config/settings.py` has the keys.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks

from stacks.api.stack import ApiStack
from stacks.cloud9.stack import Cloud9Stack
from stacks.common.cost_tags import tag_all
from stacks.common.own_key import encrypt_all
from stacks.config.catalogue import CatalogueError, read_model
from stacks.config.instances import choose_instances
from stacks.config.regions import check_place
from stacks.config.settings import SettingsError, parse_settings
from stacks.model.stack import ModelStack
from stacks.notebook.stack import NotebookStack
from stacks.site.page import PageError
from stacks.site.stack import SiteStack
from stacks.storage.stack import StorageStack

ROOT = Path(__file__).parent
PAGE = ROOT / "web" / "dist"


def compose(app: cdk.App, *, root: Path = ROOT, page: Path = PAGE, env: cdk.Environment | None = None) -> None:
    """All stacks that the app's context asks for, checked by AwsSolutions."""
    settings = parse_settings(app.node.get_all_context())
    model = read_model(settings.model, root)
    no_site = check_place(env.region or "" if env else "", settings, model)
    settings = choose_instances(model, settings)

    storage = StorageStack(app, "EaselStorage", settings=settings, env=env)
    endpoint = ModelStack(app, "EaselModel", settings=settings, model=model, bucket=storage.bucket, env=env)
    api = ApiStack(
        app,
        "EaselApi",
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
        site = SiteStack(app, "EaselSite", settings=settings, api=api.api, page=page, env=env)
        site.add_stack_dependency(api)
    if settings.cloud9:
        Cloud9Stack(app, "EaselCloud9", settings=settings, env=env)
    if settings.notebook == "on":
        NotebookStack(app, "EaselNotebook", settings=settings, env=env)

    if settings.kms_key_arn:
        encrypt_all(app, settings.kms_key_arn)
    tag_all(app, {"easel:app": "easel", "easel:mode": settings.mode})
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))


if __name__ == "__main__":
    app = cdk.App()
    account, region = (os.environ.get(f"CDK_DEFAULT_{name}") for name in ("ACCOUNT", "REGION"))
    try:
        compose(app, env=cdk.Environment(account=account, region=region))
    except (SettingsError, CatalogueError, PageError) as error:
        sys.exit(f"easel: {error}")
    app.synth()
