"""A CloudFormation template with the roles of a GitHub workflow: to deploy one Easel, and to show what would change.

The workflow has no stored secret: GitHub signs a token for each job, and STS gives it the role whose trust names the
token's repository and environment. https://docs.github.com/en/actions/reference/openid-connect-reference
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from easel.cloud.policies.assembly import Assembly
from easel.cloud.policies.documents import Statement, allow, document
from easel.console.errors import USAGE, CommandError

ISSUER = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"
_OWNER, _REPOSITORY, _ID = r"[A-Za-z0-9][A-Za-z0-9-]{0,38}", r"[\w.-]{1,100}", r"(@\d+)?"
REPOSITORY = re.compile(rf"{_OWNER}{_ID}/{_REPOSITORY}{_ID}", re.ASCII)
"""`owner/repo`. Tokens of repositories created since July 2026 have the ids too: `owner@1/repo@2`."""
ENVIRONMENT = re.compile(r"[\w.-]{1,255}", re.ASCII)
SESSION_SECONDS = 2 * 60 * 60
"""Longest session of the deploying role: a first deploy imports a model and starts an instance."""


def check_names(repository: str, environment: str) -> None:
    """Check the options. Raises CommandError."""
    if not REPOSITORY.fullmatch(repository):
        why = "a repository has the form owner/repo, or owner@1/repo@2 with GitHub's ids"
        raise CommandError(f"{repository!r} is not a repository", where="--github", why=why, fix="", code=USAGE)
    if not ENVIRONMENT.fullmatch(environment):
        why = "an environment has a name of letters, digits, dots, hyphens and underscores"
        raise CommandError(f"{environment!r} is not an environment", where="--environment", why=why, fix="", code=USAGE)


def github_template(
    assembly: Assembly, deployer: Sequence[Statement], repository: str, environment: str
) -> dict[str, Any]:
    """Return the template. `deployer`: the policy of the role that deploys."""
    lookup = [role for role in assembly.cdk_roles if "-lookup-role-" in role]
    return {
        "Description": f"GitHub workflows of {repository} that deploy Easel.",
        "Parameters": {
            "Provider": {
                "Type": "String",
                "Default": "",
                "Description": "ARN of the account's OIDC provider for GitHub. Empty: create it.",
            }
        },
        "Conditions": {"New": {"Fn::Equals": [{"Ref": "Provider"}, ""]}},
        "Resources": {
            "GitHub": {
                "Type": "AWS::IAM::OIDCProvider",
                "Condition": "New",
                "DeletionPolicy": "Retain",  # other stacks may use it by now
                "UpdateReplacePolicy": "Retain",
                "Properties": {"Url": f"https://{ISSUER}", "ClientIdList": [AUDIENCE]},
            },
            "Deploy": _role(f"repo:{repository}:environment:{environment}", deployer, SESSION_SECONDS),
            "Diff": _role(f"repo:{repository}:pull_request", [allow(["sts:AssumeRole"], lookup)]),
        },
        "Outputs": {name: {"Value": {"Fn::GetAtt": [name, "Arn"]}} for name in ("Deploy", "Diff")},
    }


def _role(subject: str, statements: Sequence[Statement], seconds: int = 3600) -> dict[str, Any]:
    """Return a role for the jobs whose token has this subject."""
    trust = {
        "Effect": "Allow",
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Principal": {"Federated": {"Fn::If": ["New", {"Ref": "GitHub"}, {"Ref": "Provider"}]}},
        "Condition": {"StringEquals": {f"{ISSUER}:aud": AUDIENCE, f"{ISSUER}:sub": subject}},
    }
    properties = {
        "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
        "MaxSessionDuration": seconds,
        "Policies": [{"PolicyName": "Easel", "PolicyDocument": document(statements)}],
    }
    return {"Type": "AWS::IAM::Role", "Properties": properties}
