"""One emulated AWS account and the commands that deploy into it."""

import contextlib
import json
import os
import signal
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import boto3
import psutil

from stacks.config.names import DEFAULT, Names
from tests.deploy.emulator.aws_api.service import ACCOUNT, REGION
from tests.deploy.emulator.ports import free_port
from tests.deploy.harness.environment import (
    CDK,
    DEPLOY_TESTS,
    EMULATOR_PYTHON,
    NODE_SDK,
    PYTHON,
    ROOT,
    create_certificate,
    user_environment,
)
from tests.deploy.harness.forks.project import PROGRAM, SHORT_WAITS, forked, project_forks, write_program
from tests.stacks.registry import render_handlers

START_SECONDS = 180
CONTAINER = ("-m", "easel.laptop.container.server", "--model-dir", "{model_dir}", "--port", "{port}")
EMULATED = {
    "sagemaker": "SAGEMAKER", "sagemaker-runtime": "SAGEMAKER_RUNTIME", "budgets": "BUDGETS",
    "application-autoscaling": "APPLICATION_AUTO_SCALING",
}  # fmt: skip
"""Services of emulator/ and their names in AWS_ENDPOINT_URL_*. MiniStack has the others."""


class Account:
    """An emulated account. It starts on entering the context, and leaves no process."""

    def __init__(self, folder: Path, hub_url: str = "") -> None:
        self.folder = folder
        self.port, self.sagemaker_port = free_port(), free_port()
        self.url, self.sagemaker_url = f"https://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.sagemaker_port}"
        self.certificate, key = create_certificate(folder)
        self.tls = ssl.create_default_context(cafile=str(self.certificate))
        trust = dict.fromkeys(("AWS_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"), str(self.certificate))
        self.variables = user_environment() | trust | {
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_ENDPOINT_URL": self.url,
        }  # fmt: skip
        self.cdk_variables = self.variables | {
            "CDK_HOME": str(folder / "cdk-home"), "CDK_DISABLE_CLI_TELEMETRY": "true",
            "NODE_OPTIONS": f"--require \"{SHORT_WAITS / 'cdk.cjs'}\"",
        }  # fmt: skip
        self.sagemaker_variables = {f"AWS_ENDPOINT_URL_{name}": self.sagemaker_url for name in EMULATED.values()}
        self.emulator_variables = self.variables | self.sagemaker_variables | {
            "AUTH": "true", "USE_SSL": "1", "MINISTACK_SSL_CERT": str(self.certificate), "MINISTACK_SSL_KEY": str(key),
            "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(self.port), "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "LAMBDA_EXECUTOR": "local", "HUB_URL": hub_url, "NODE_PATH": str(NODE_SDK), "TMPDIR": str(folder),
            "HOLD": str(folder / "hold"), "REGISTRY": str(folder / "registry.json"), "PYTHONPATH": str(SHORT_WAITS),
            "FUNCTION_PYTHON": str(folder / "python"),
        }  # fmt: skip
        (folder / "hold").mkdir()
        (folder / "registry.json").write_text(render_handlers())
        (folder / "functions").mkdir()
        write_program(folder / "python", PYTHON, "-IS", PROGRAM, str(folder / "functions"))
        self.clients: dict[str, Any] = {}
        self.running = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.running.enter_context(project_forks())
        command = (str(EMULATOR_PYTHON), "-m", "emulator", str(self.sagemaker_port), *forked(*CONTAINER))
        self.log = (self.folder / "emulator.log").open("wb")
        self.process = subprocess.Popen(
            command, cwd=DEPLOY_TESTS, env=self.emulator_variables, stdin=subprocess.PIPE, stdout=self.log,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self.functions = subprocess.Popen(
            (EMULATOR_PYTHON, "-P", PROGRAM, self.folder / "functions", "function"), env=self.emulator_variables,
            stdin=subprocess.PIPE, stdout=self.log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            self._wait_until_healthy()
        except RuntimeError:
            self.__exit__()
            raise
        return self

    def _wait_until_healthy(self) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.url}/_ministack/health", timeout=10, context=self.tls).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise RuntimeError(f"The emulator did not start. {self.log_tail()}")

    def __exit__(self, *_: object) -> None:
        """Stop the emulator and its process group, which has every process that it started."""
        for process in (self.process, self.functions):
            assert process.stdin
            process.stdin.close()
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.running.close()
        self.log.close()

    def log_tail(self, size: int = 4000) -> str:
        return (self.folder / "emulator.log").read_text(errors="replace")[-size:]

    def client(self, service: str) -> Any:
        """Return a boto3 client of the account's root user."""
        if service not in self.clients:
            url = self.sagemaker_url if service in EMULATED else self.url
            self.clients[service] = boto3.client(
                service, endpoint_url=url, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test",
                verify=str(self.certificate),
            )  # fmt: skip
        return self.clients[service]

    def start_cdk(self, *arguments: str) -> "CdkCommand":
        """Start the CDK command line."""
        log = self.folder / f"cdk-{arguments[0]}-{time.monotonic():.1f}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                (str(CDK), *arguments, "--no-notices", "--no-color"), cwd=self.folder, env=self.cdk_variables,
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip
        return CdkCommand(process, log)

    def bootstrap(self, *policies: str) -> subprocess.CompletedProcess[str]:
        """Bootstrap the account. `policies`: ARNs for CloudFormation's role, in place of AdministratorAccess."""
        options = ("--cloudformation-execution-policies", ",".join(policies)) if policies else ()
        return self.start_cdk("bootstrap", f"aws://{ACCOUNT}/{REGION}", *options).wait()

    def start_deploy(self, assembly: Path, *stacks: str) -> "CdkCommand":
        """Start to deploy all stacks, or some with those that they depend on."""
        options = ("--require-approval", "never", "--progress", "events", "--concurrency", "3")
        return self.start_cdk("deploy", "--app", str(assembly), *(stacks or ("--all",)), *options)

    def deploy(self, assembly: Path, *stacks: str) -> subprocess.CompletedProcess[str]:
        return self.start_deploy(assembly, *stacks).wait()

    def start_destroy(self, assembly: Path, *stacks: str) -> "CdkCommand":
        """Start to destroy all stacks, or some with those that depend on them."""
        return self.start_cdk("destroy", "--app", str(assembly), *(stacks or ("--all",)), "--force")

    def destroy(self, assembly: Path, *stacks: str) -> subprocess.CompletedProcess[str]:
        return self.start_destroy(assembly, *stacks).wait()

    def easel(self, *arguments: str, seconds: int = 300) -> subprocess.CompletedProcess[str]:
        """Run `easel` as the user who deployed."""
        return subprocess.run(
            forked(*self.easel_command(*arguments)[1:]), cwd=ROOT, env=self.easel_variables, text=True,
            capture_output=True, timeout=seconds,
        )  # fmt: skip

    def easel_command(self, *arguments: str) -> tuple[str, ...]:
        return (PYTHON, "-m", "tests.deploy.harness.easel", str(self.port), *arguments)

    @property
    def easel_variables(self) -> dict[str, str]:
        return self.cdk_variables | self.sagemaker_variables | {"PYTHONPATH": str(SHORT_WAITS), "SHORT_WAITS": "1"}

    @contextlib.contextmanager
    def hold(self, status: str) -> Iterator[None]:
        """Keep endpoints and notebooks in this state meanwhile."""
        file = self.folder / "hold" / status
        file.touch()
        try:
            yield
        finally:
            file.unlink()

    @contextlib.contextmanager
    def internet(self, **hosts: tuple[str, int]) -> Iterator[None]:
        """Let functions resolve `<name>.example.com` to an address, and reach a port of this machine there."""
        file = self.folder / "hold" / "Internet"
        file.write_text(json.dumps({f"{name}.example.com": host for name, host in hosts.items()}))
        try:
            yield
        finally:
            file.unlink()

    def container(self) -> psutil.Process:
        """Return the newest process that serves a model."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # a function has just ended
                if CONTAINER[1] in child.cmdline():
                    found.append(child)
        return max(found, key=psutil.Process.create_time)

    def stack_statuses(self) -> dict[str, str]:
        stacks = self.client("cloudformation").describe_stacks()["Stacks"]
        return {stack["StackName"]: stack["StackStatus"] for stack in stacks}

    def outputs(self, names: Names = DEFAULT) -> dict[str, str]:
        """Return the outputs of all stacks of one Easel by key."""
        stacks = self.client("cloudformation").describe_stacks()["Stacks"]
        stacks = [stack for stack in stacks if stack["StackName"] in names.stacks]
        return {output["OutputKey"]: output["OutputValue"] for stack in stacks for output in stack.get("Outputs", [])}


@dataclass(frozen=True)
class CdkCommand:
    """A running CDK command line. Ending it does not end what CloudFormation does."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def interrupt(self) -> None:
        """Send Ctrl-C and wait for the end."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(120)

    def wait(self, seconds: int = 600) -> subprocess.CompletedProcess[str]:
        """Return exit status and output once it has ended."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        output = self.log.read_text(errors="replace")
        return subprocess.CompletedProcess(self.process.args, self.process.returncode, output)
