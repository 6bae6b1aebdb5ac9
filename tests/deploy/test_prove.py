"""Emulator test of `easel prove`: from start to record; stopped in a deploy, and killed. Not run on AWS.

tests/easel/cloud/prove/test_runner.py stops a run at each of its steps.
"""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from easel.cloud.prove.steps import STEPS
from tests.deploy.harness.account import Account
from tests.deploy.harness.deployment import wait_until
from tests.deploy.harness.environment import ROOT, set_up
from tests.deploy.harness.inventory import inventory

pytestmark = [pytest.mark.xdist_group("prove_account"), pytest.mark.timeout(1800)]

RUN_SECONDS = 900
ARGUMENTS = ("prove", "--usd", "5", "-c", "model=emoji", "-c", "instance_type=ml.m5.large")


@dataclass
class Prove:
    """`easel prove` in an emulated account. `baseline`: what the account had before."""

    account: Account
    folder: Path
    baseline: set[str]

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self.account.easel_command(*arguments, "--out", str(self.folder)), cwd=ROOT,
            env=self.account.easel_variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def wait(self, process: "subprocess.Popen[str]", condition: Callable[[], bool] = lambda: False) -> None:
        """Wait until the condition holds or the run has ended. The endpoint scales once the run waits for that."""
        switch = self.account.folder / "hold" / "Scaling"

        def watch() -> bool:
            if self.passed("page") and not self.passed("wake"):
                switch.touch()
            else:
                switch.unlink(missing_ok=True)
            return process.poll() is not None or condition()

        wait_until(watch, seconds=RUN_SECONDS)

    def passed(self, step: str) -> bool:
        try:
            outcomes = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))["outcomes"]
        except FileNotFoundError:
            return False
        return any(outcome["step"] == step and outcome["status"] != "failed" for outcome in outcomes)

    @property
    def record(self) -> str:
        (file,) = self.folder.glob("record-*.md")
        return file.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def prove(page: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prove]:
    set_up()
    folder = tmp_path_factory.mktemp("prove")
    with Account(folder) as account:
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        created = account.client("iam").create_policy(PolicyName="everything", PolicyDocument=json.dumps(policy))
        bootstrapped = account.bootstrap(created["Policy"]["Arn"])
        assert bootstrapped.returncode == 0, bootstrapped.stdout
        yield Prove(account, folder / "out", inventory(account))


@pytest.fixture(scope="module")
def interrupted(prove: Prove) -> "subprocess.CompletedProcess[str]":
    """A run that gets Ctrl-C while its endpoint is being created."""
    sagemaker = prove.account.client("sagemaker")
    process = prove.start(*ARGUMENTS)
    prove.wait(process, lambda: sagemaker.list_endpoints()["Endpoints"] != [])
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=RUN_SECONDS)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def test_interrupted_run_leaves_nothing(prove: Prove, interrupted: "subprocess.CompletedProcess[str]") -> None:
    assert interrupted.returncode == 128 + signal.SIGINT, interrupted.stdout + interrupted.stderr
    assert inventory(prove.account) == prove.baseline
    assert "stopped at the step `deploy`" in prove.record


@pytest.fixture(scope="module")
def continued(prove: Prove, interrupted: object) -> "subprocess.CompletedProcess[str]":
    """The next run, killed with the deployment in the account, and the run after that."""
    process = prove.start("prove")
    prove.wait(process, lambda: prove.passed("image_to_image"))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert prove.account.stack_statuses() != {"CDKToolkit": "CREATE_COMPLETE"}
    process = prove.start("prove")
    prove.wait(process)
    output, errors = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def test_run_passes_from_start_to_record(prove: Prove, continued: "subprocess.CompletedProcess[str]") -> None:
    assert continued.returncode == 0, continued.stdout + continued.stderr + prove.account.log_tail()
    assert [step.code for step in STEPS if not prove.passed(step.code)] == []
    assert "Every step passed, and nothing is left." in prove.record
    assert inventory(prove.account) == prove.baseline


def test_output_of_a_run_is_quiet_in_a_pipe(prove: Prove, continued: "subprocess.CompletedProcess[str]") -> None:
    first, *lines, record = continued.stdout.splitlines()
    codes = [step.code for step in STEPS]
    assert [line.split()[1] for line in lines] == codes[codes.index("image_to_image") + 1 :]
    assert (first.split()[0], record.split()[0], continued.stderr) == ("Going", "Record:", "")


def test_record_says_what_rolled_back(prove: Prove, continued: object) -> None:
    assert "because of alarms in ALARM" in prove.record
    for secret in (prove.account.client("sts").get_caller_identity()["Account"], "amazonaws.com", "arn:aws"):
        assert secret not in prove.record
