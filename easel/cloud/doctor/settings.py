"""Checks of the settings: what synthesis would refuse, and what a deploy with them would replace."""

from __future__ import annotations

from typing import get_args

from easel.cloud.account import Account, aws_errors
from easel.cloud.doc_pages import KMS_KEY, SETTINGS
from easel.cloud.doctor.check import Finding, check, failed, ok
from easel.cloud.doctor.plan import Plan
from easel.cloud.stack_state import newest_resource, outputs_of, resources_of, stack_status
from stacks.config.catalogue import CatalogueError
from stacks.config.forms import Mode
from stacks.config.regions import check_deployable
from stacks.config.settings import SettingsError

BUCKET = "AWS::S3::Bucket"


@check("settings", remedy=f"Change the setting; {SETTINGS} lists all settings.")
def settings(account: Account, plan: Plan) -> Finding | None:
    """The region supports the settings and the model. Listed only if synthesis would fail."""
    if models := [each.model for each in plan.each if each.model]:
        try:
            check_deployable(account.region, plan.settings, models)
        except (SettingsError, CatalogueError) as error:
            return failed(str(error))
    return None


@check("settings_change", remedy="To keep the deployed values, pass the printed -c options.")
def settings_change(account: Account, plan: Plan) -> Finding | None:
    """The deployed model and mode are the configured ones. Listed only if a deploy would replace them."""
    outputs = outputs_of(account).get(account.names.model, {})
    endpoint = outputs.get("EndpointName", "")
    modes = [mode for mode in get_args(Mode) if endpoint.startswith(account.names.endpoint_prefix(mode))]
    mode = modes[0] if modes else None
    deployed = {"model": outputs.get("Model"), "mode": mode}
    configured = {"model": ",".join(each.model.id for each in plan.each if each.model), "mode": plan.settings.mode}
    changed = [key for key in deployed if deployed[key] and configured[key] and deployed[key] != configured[key]]
    if not changed:
        return None
    changes = ", ".join(f"{key} from {deployed[key]} to {configured[key]}" for key in changed)
    keep = " ".join(f"-c {key}={deployed[key]}" for key in changed)
    return ok(f"A deploy with these settings changes {changes}.", f"To keep what is deployed: {keep}")


@check("encryption", remedy="Set kms_key_arn to the key that encrypts the bucket.")
def encryption(account: Account, plan: Plan) -> Finding | None:
    """The configured KMS key encrypts the deployed bucket. Listed only if another key does."""
    stack = account.names.storage
    if stack_status(account, stack) is None:
        return None
    bucket = newest_resource(resources_of(account, stack), BUCKET)
    if not bucket:
        return None
    with aws_errors():
        response = account.client("s3").get_bucket_encryption(Bucket=bucket)
    rules = response["ServerSideEncryptionConfiguration"]["Rules"]
    used = {rule.get("ApplyServerSideEncryptionByDefault", {}).get("KMSMasterKeyID", "") for rule in rules}
    if not (lost := used - {"", plan.settings.kms_key_arn}):
        return None
    key = lost.pop()
    return failed(
        f"The bucket is encrypted with {key}, but kms_key_arn is {plan.settings.kms_key_arn or 'not set'}. "
        "A deploy would make the stored objects unreadable.",
        f"-c kms_key_arn={key}, or destroy the stacks first ({KMS_KEY})",
    )
