"""`make emulator`: an account in which a person follows docs/tutorials/first-deploy.md."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.harness.environment import ROOT, set_up, user_environment

READ_POLICIES = """
import boto3
role = "cdk-hnb659fds-cfn-exec-role-123456789012-us-east-1"
for policy in boto3.client("iam").list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
    print(policy["PolicyName"])
"""
SCRIPT = f"""
set -e
. "$1"
export AWS_PROFILE=you AWS_REGION=us-east-1
npx cdk bootstrap > /dev/null 2>&1
easel doctor -c model=emoji --json || true
curl -s -o /dev/null -w '%{{http_code}}\\n' https://00000000.execute-api.us-east-1.amazonaws.com/v1/health
python -c '{READ_POLICIES}'
"""


@pytest.fixture
def variables() -> Iterator[Path]:
    """The file that the command prints. The command ends by Ctrl-C and leaves nothing."""
    set_up()
    command = (sys.executable, "-m", "tests.deploy.by_hand")
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        lines = (line.strip() for line in process.stdout)
        file = Path(next(line for line in lines if line.startswith(". "))[2:])
        yield file
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=180)
    assert process.returncode == 0
    assert not file.parent.exists()


def test_a_terminal_bootstraps_and_checks_the_account(variables: Path) -> None:
    """The tutorial's commands work as written. CloudFormation's role has all rights, as nobody named its policies."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    result = subprocess.run(
        ("bash", "-c", SCRIPT, "bash", str(variables)), cwd=ROOT, env=user_environment() | {"PATH": path}, text=True,
        capture_output=True, timeout=500,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    *report, status, policy = result.stdout.splitlines()
    checks = {check["code"]: check["status"] for check in json.loads("\n".join(report))["checks"]}
    assert (checks["account"], checks["bootstrap"], checks["stacks"]) == ("ok", "ok", "ok")
    assert int(status) >= 400, "the account's gateway has no such API"
    assert policy == "AdministratorAccess"
