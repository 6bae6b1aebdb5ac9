"""Emulator test: the steps of .github/workflows/deploy.yml with the roles that GitHub's tokens get. Not run on AWS."""

import base64
import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError

from tests.deploy.emulator.aws_api.service import REGION
from tests.deploy.harness.account import Account
from tests.deploy.harness.constants import SETTINGS
from tests.deploy.harness.deployment import Deployment, wait_until
from tests.deploy.harness.environment import ROOT

pytestmark = [pytest.mark.xdist_group("async_account"), pytest.mark.timeout(1800)]

REPOSITORY = "octo-org@12/octo-repo@345"
STACK = "easel-github"
JOBS = yaml.safe_load((ROOT / ".github" / "workflows" / "deploy.yml").read_text())["jobs"]

WITHOUT_METADATA = dict.fromkeys(("CDK_PATH_METADATA", "CDK_ASSET_METADATA", "CDK_VERSION_REPORTING"), "false")
"""The assemblies of these tests do not come from the CDK's command line, which adds metadata."""


@dataclass
class Workflow:
    """The roles of the workflow in an account, and the settings of its environment."""

    deployment: Deployment
    roles: dict[str, str]
    settings: Path

    def assume(self, role: str, subject: str, audience: str = "sts.amazonaws.com") -> dict[str, str]:
        """Return the keys that a job gets for GitHub's token. The emulator does not check the token's signature."""
        claims = {"iss": "https://token.actions.githubusercontent.com", "aud": audience, "sub": subject}
        parts = (json.dumps(part).encode() for part in ({"alg": "RS256"}, claims, {}))
        token = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts).decode()
        response = self.deployment.account.client("sts").assume_role_with_web_identity(
            RoleArn=self.roles[role], RoleSessionName="GitHubActions", WebIdentityToken=token
        )["Credentials"]
        return {"AWS_ACCESS_KEY_ID": response["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": response["SecretAccessKey"],
                "AWS_SESSION_TOKEN": response["SessionToken"]}  # fmt: skip

    def run(self, job: str, step: str, keys: dict[str, str]) -> str:
        """Run a step of the workflow as GitHub's shell does, and return its output."""
        (script,) = [item["run"] for item in JOBS[job]["steps"] if item.get("name") == step]
        account = self.deployment.account
        script = script.replace(".venv/bin/easel", shlex.join(account.easel_command()))
        environment = os.path.relpath(self.settings.with_suffix(""), ROOT / "environments")
        summary = str(self.settings.with_suffix(".md"))
        variables = {"ENVIRONMENT": environment, "GITHUB_STEP_SUMMARY": summary, **WITHOUT_METADATA}
        result = subprocess.run(
            ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script),
            env=account.easel_variables | keys | variables,
            cwd=ROOT, text=True, capture_output=True, timeout=600,
        )  # fmt: skip
        assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
        return result.stdout + result.stderr


@pytest.fixture(scope="module")
def workflow(async_account: Deployment) -> Iterator[Workflow]:
    account, folder = async_account.account, async_account.account.folder / "workflow"
    options = ("--github", REPOSITORY, "--environment", "test", "--out", str(folder))
    written = account.easel("policies", str(async_account.assemblies / "first"), *options)
    assert written.returncode == 0, written.stderr
    cloudformation = account.client("cloudformation")
    template = (folder / f"{STACK}.json").read_text()
    cloudformation.create_stack(StackName=STACK, TemplateBody=template, Capabilities=["CAPABILITY_IAM"])
    wait_until(lambda: account.stack_statuses()[STACK] == "CREATE_COMPLETE")
    (stack,) = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
    settings = folder / "test.txt"
    values = {"name": "easel", **SETTINGS, "mode": "async", "site": "on", "sign_in": "cognito"}
    settings.write_text("".join(f"{key}={value}\n" for key, value in values.items()))
    yield Workflow(async_account, {item["OutputKey"]: item["OutputValue"] for item in stack["Outputs"]}, settings)
    cloudformation.delete_stack(StackName=STACK)
    iam = account.client("iam")
    for provider in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]:
        iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=provider["Arn"])


@pytest.mark.parametrize(
    ("role", "subject", "audience"),
    [
        ("Deploy", f"repo:{REPOSITORY}:environment:prod", "sts.amazonaws.com"),
        ("Deploy", f"repo:{REPOSITORY}:pull_request", "sts.amazonaws.com"),
        ("Deploy", "repo:octo-org/octo-repo:environment:test", "sts.amazonaws.com"),
        ("Deploy", f"repo:{REPOSITORY}:environment:test", "https://github.com/octo-org"),
        ("Diff", f"repo:{REPOSITORY}:ref:refs/heads/main", "sts.amazonaws.com"),
    ],
)
def test_another_token_gets_no_role(workflow: Workflow, role: str, subject: str, audience: str) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        workflow.assume(role, subject, audience)


def test_a_pull_request_sees_the_difference_and_cannot_deploy(workflow: Workflow) -> None:
    keys = workflow.assume("Diff", f"repo:{REPOSITORY}:pull_request")
    assert "Number of stacks with differences: 0" in workflow.run("diff", "Diff", keys)
    assert "Number of stacks with differences: 0" in workflow.settings.with_suffix(".md").read_text()
    cdk_roles = [role["Arn"] for role in workflow.deployment.account.client("iam").list_roles()["Roles"]
                 if role["RoleName"].startswith("cdk-")]  # fmt: skip
    assumed = [role for role in cdk_roles if may_assume(workflow.deployment.account, keys, role)]
    assert [role.split("-")[2] for role in assumed] == ["lookup"]


def may_assume(account: Account, keys: dict[str, str], role: str) -> bool:
    """Return whether somebody with the keys in these variables may assume a role."""
    options = {name.lower(): value for name, value in keys.items()} | {"verify": str(account.certificate)}
    sts: Any = boto3.client("sts", REGION, endpoint_url=account.url, **options)
    try:
        sts.assume_role(RoleArn=role, RoleSessionName="test")
    except ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDenied"
        return False
    return True


def test_the_jobs_of_the_environment_deploy_and_generate(workflow: Workflow) -> None:
    keys = workflow.assume("Deploy", f"repo:{REPOSITORY}:environment:test")
    assert "(no changes)" in workflow.run("test", "Deploy", keys)
    assert "1 image" in workflow.run("test", "Smoke test", keys)
