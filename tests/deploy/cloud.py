"""One emulated AWS account and the CDK command line that deploys into it."""

import contextlib
import os
import signal
import socket
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

from tests.deploy.emulator.service import ACCOUNT, REGION
from tests.deploy.tools import (
    CDK,
    EMULATOR_PYTHON,
    HERE,
    ROOT,
    SDK,
    make_certificate,
    plain_environment,
    project_python,
)

START_SECONDS = 60
CONTAINER = ("-m", "easel.laptop.container.server", "--model-dir", "{model_dir}", "--port", "{port}")


class Cloud:
    """Starts on entering the context, and leaves no process behind."""

    def __init__(self, folder: Path, hub: str = "") -> None:
        self.folder = folder
        self.port, stand_ins = _free_ports()
        self.url = f"https://127.0.0.1:{self.port}"
        self.certificate, key = make_certificate(folder)
        self.tls = ssl.create_default_context(cafile=str(self.certificate))
        trust = dict.fromkeys(("AWS_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"), str(self.certificate))
        self.common = plain_environment() | trust | {
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_ENDPOINT_URL": self.url,
        }  # fmt: skip
        self.emulator_environment = self.common | {
            "AUTH": "true", "USE_SSL": "1", "MINISTACK_SSL_CERT": str(self.certificate), "MINISTACK_SSL_KEY": str(key),
            "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(self.port), "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "LAMBDA_EXECUTOR": "local", "HUB_URL": hub, "NODE_PATH": str(SDK), "TMPDIR": str(folder),
            "HOLD": str(folder / "hold"),
            **{f"AWS_ENDPOINT_URL_{name}": f"http://127.0.0.1:{stand_ins}"
               for name in ("SAGEMAKER", "SAGEMAKER_RUNTIME", "APPLICATION_AUTO_SCALING", "BUDGETS")},
        }  # fmt: skip
        self.stand_ins = stand_ins
        (folder / "hold").mkdir()

    def __enter__(self) -> Self:
        program = ("env", f"PYTHONPATH={ROOT}", project_python(), *CONTAINER)
        command = (str(EMULATOR_PYTHON), "-m", "emulator", str(self.stand_ins), *program)
        self.log = (self.folder / "emulator.log").open("wb")
        self.process = subprocess.Popen(
            command, cwd=HERE, env=self.emulator_environment, stdin=subprocess.PIPE, stdout=self.log,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            self._wait()
        except RuntimeError:
            self.__exit__()
            raise
        return self

    def _wait(self) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.url}/_ministack/health", timeout=2, context=self.tls).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise RuntimeError(f"The emulator did not start. {self.tail()}")

    def __exit__(self, *_: object) -> None:
        """The emulator started a session of its own, so that its group is all that it ever started."""
        assert self.process.stdin
        self.process.stdin.close()
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.log.close()

    def tail(self, size: int = 4000) -> str:
        return (self.folder / "emulator.log").read_text(errors="replace")[-size:]

    def client(self, service: str) -> Any:
        """The account's root, as the person who looks whether anything is left."""
        own = {"sagemaker", "sagemaker-runtime", "application-autoscaling", "budgets"}
        url = f"http://127.0.0.1:{self.stand_ins}" if service in own else self.url
        return boto3.client(
            service, endpoint_url=url, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test",
            verify=str(self.certificate),
        )  # fmt: skip

    def begin(self, *arguments: str) -> "Running":
        """Starts the CDK's command line."""
        environment = self.common | {
            "CDK_HOME": str(self.folder / "cdk-home"), "CDK_DISABLE_CLI_TELEMETRY": "true",
        }  # fmt: skip
        log = self.folder / f"cdk-{arguments[0]}-{time.monotonic():.1f}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                (str(CDK), *arguments, "--no-notices", "--no-color"), cwd=self.folder, env=environment,
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip
        return Running(process, log)

    def cdk(self, *arguments: str, seconds: int = 600) -> subprocess.CompletedProcess[str]:
        """Runs the CDK's command line; its exit status and all it said come back."""
        return self.begin(*arguments).ended(seconds)

    def bootstrap(self) -> subprocess.CompletedProcess[str]:
        return self.cdk("bootstrap", f"aws://{ACCOUNT}/{REGION}")

    def begin_deploy(self, assembly: Path, *stacks: str) -> "Running":
        """All stacks, or some with what they stand on."""
        options = ("--require-approval", "never", "--progress", "events", "--concurrency", "3")
        return self.begin("deploy", "--app", str(assembly), *(stacks or ("--all",)), *options)

    def deploy(self, assembly: Path, *stacks: str) -> subprocess.CompletedProcess[str]:
        return self.begin_deploy(assembly, *stacks).ended()

    def begin_destroy(self, assembly: Path, *stacks: str) -> "Running":
        """All stacks, or some with what stands on them."""
        return self.begin("destroy", "--app", str(assembly), *(stacks or ("--all",)), "--force")

    def destroy(self, assembly: Path, *stacks: str) -> subprocess.CompletedProcess[str]:
        return self.begin_destroy(assembly, *stacks).ended()

    def easel(self, *words: str, seconds: int = 300) -> subprocess.CompletedProcess[str]:
        """Runs `easel` as the person who deployed."""
        own = dict.fromkeys(
            ("AWS_ENDPOINT_URL_SAGEMAKER", "AWS_ENDPOINT_URL_APPLICATION_AUTO_SCALING"),
            f"http://127.0.0.1:{self.stand_ins}",
        )
        return subprocess.run(
            (project_python(), "-m", "easel", *words), cwd=ROOT, env=self.common | own, text=True,
            capture_output=True, timeout=seconds,
        )  # fmt: skip

    @contextlib.contextmanager
    def hold(self, status: str) -> Iterator[None]:
        """Meanwhile no endpoint leaves this state; one in service comes into it, if it is one that befalls them."""
        file = self.folder / "hold" / status
        file.touch()
        try:
            yield
        finally:
            file.unlink()

    def container(self) -> psutil.Process:
        """The newest process that serves a model."""
        started = psutil.Process(self.process.pid).children(recursive=True)
        return max((one for one in started if CONTAINER[1] in one.cmdline()), key=lambda one: one.create_time())

    def statuses(self) -> dict[str, str]:
        stacks = self.client("cloudformation").describe_stacks()["Stacks"]
        return {stack["StackName"]: stack["StackStatus"] for stack in stacks}

    def outputs(self) -> dict[str, str]:
        """The outputs of all stacks, by name."""
        stacks = self.client("cloudformation").describe_stacks()["Stacks"]
        return {out["OutputKey"]: out["OutputValue"] for stack in stacks for out in stack.get("Outputs", [])}


@dataclass(frozen=True)
class Running:
    """A command line at work. Ending it does not end what AWS does."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)

    def ended(self, seconds: int = 600) -> subprocess.CompletedProcess[str]:
        """Waits for its end."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        said = self.log.read_text(errors="replace")
        return subprocess.CompletedProcess(self.process.args, self.process.returncode, said)


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]
