"""The person who deploys, with no other rights than those that `easel policies` writes."""

import json
from pathlib import Path

from tests.deploy.harness.account import Account

USER = "deployer"


def create_policies(account: Account, assemblies: Path) -> dict[str, str]:
    """Create the policies for all assemblies of a folder, as an administrator. Return end of the name to ARN."""
    folders = sorted(path.parent for path in assemblies.glob("*/manifest.json"))
    out = account.folder / "policies"
    written = account.easel("policies", *map(str, folders), "--out", str(out))
    assert written.returncode == 0, written.stderr
    iam, arns = account.client("iam"), {}
    for path in sorted(out.iterdir()):
        policy = json.dumps(json.loads(path.read_text()))
        created = iam.create_policy(PolicyName=path.stem, PolicyDocument=policy)
        arns[path.stem.removeprefix("easel-")] = created["Policy"]["Arn"]
    return arns


def become_deployer(account: Account, policy: str) -> None:
    """Let the account's commands run as a user with this policy only."""
    iam = account.client("iam")
    iam.create_user(UserName=USER)
    iam.attach_user_policy(UserName=USER, PolicyArn=policy)
    keys = iam.create_access_key(UserName=USER)["AccessKey"]
    variables = {"AWS_ACCESS_KEY_ID": keys["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"]}
    for own in (account.variables, account.cdk_variables):
        own.update(variables)
