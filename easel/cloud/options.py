"""What `easel doctor` asks AWS of what is the user's own and only named in a setting."""

from __future__ import annotations

import json

from easel.cloud.account import Account, explained
from easel.cloud.check import Check
from easel.cloud.plan import Plan
from easel.command_error import CommandError

CALLERS = ("logs.{region}.amazonaws.com", "cloudwatch.amazonaws.com", "budgets.amazonaws.com", "sns.amazonaws.com")
"""Services that use the key in their own name: the key's policy must let them."""
NO_BUDGETS = ("aws-cn", "aws-us-gov")


def key(account: Account, plan: Plan) -> Check | None:
    """Whether the KMS key can be used, and by whom its policy says; None where none is named."""
    arn = plan.settings.kms_key_arn
    if not arn:
        return None
    client = account.client("kms", arn.split(":")[3])
    try:
        with explained():
            told = client.describe_key(KeyId=arn)["KeyMetadata"]
            policy = client.get_key_policy(KeyId=arn, PolicyName="default")["Policy"]
    except CommandError as error:
        if error.where != "NotFoundException":
            raise
        return Check("key", "failed", f"There is no key {arn}.", "Mend kms_key_arn")
    if told["KeyState"] != "Enabled" or told.get("KeySpec") != "SYMMETRIC_DEFAULT":
        said = f"The key is {told['KeyState']} and {told.get('KeySpec')}; it must be Enabled and SYMMETRIC_DEFAULT."
        return Check("key", "failed", said, "aws kms enable-key, or another key")
    if missing := [name for name in _callers(account) if f'"{name}"' not in json.dumps(json.loads(policy))]:
        said = f"The key's policy does not let in {', '.join(missing)}."
        return Check("key", "failed", said, "Add the statements of docs/options.md: aws kms put-key-policy")
    return Check("key", "ok", "The key is enabled, and its policy lets AWS's services in.")


def _callers(account: Account) -> list[str]:
    names = [name.format(region=account.region) for name in CALLERS]
    return [name for name in names if not (name.startswith("budgets") and account.partition in NO_BUDGETS)]
