"""Set-up of the deploy tests: the emulator's interpreter, the CDK command line, a certificate."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.deploy.emulator.aws_api.service import REGION

DEPLOY_TESTS = Path(__file__).parent.parent
ROOT = DEPLOY_TESTS.parent.parent
CACHE = ROOT / ".cache"
EMULATOR_VENV = CACHE / "emulator-venv"
EMULATOR_PYTHON = EMULATOR_VENV / "bin" / "python"
PYTHON = sys.executable
"""The project's interpreter."""
CDK = ROOT / "node_modules" / ".bin" / "cdk"
NODE_SDK = DEPLOY_TESTS / "node_modules"
"""The AWS SDK, which Lambda provides to Node functions and MiniStack does not."""
INSTALL_SECONDS = 1800


class MissingToolError(RuntimeError):
    """A program that the deploy tests need is not installed."""


def set_up() -> None:
    """Install what is missing. Processes that run side by side wait for each other. Raises MissingToolError."""
    for program, purpose in {"node": "runs the CDK and its functions", "npm": "installs the CDK",
                             "openssl": "creates the emulator's certificate"}.items():  # fmt: skip
        if shutil.which(program) is None:
            raise MissingToolError(
                f"The deploy tests need {program}: it {purpose}. Install it (Node 22 or newer) and try again."
            )
    install_emulator()
    with install_lock():
        for folder in (ROOT, DEPLOY_TESTS):
            if not (folder / "node_modules").is_dir():
                _run("npm", "ci", "--no-audit", "--no-fund", "--silent", cwd=folder)


def install_emulator() -> None:
    """Create the emulator's venv unless it has the packages of requirements.txt."""
    with install_lock():
        install(EMULATOR_VENV, DEPLOY_TESTS / "requirements.txt", "--require-hashes")


def install(folder: Path, requirements: Path, *options: str, python: str = sys.executable) -> bool:
    """Create a venv with pinned packages. Return False if it has exactly these already."""
    installed = folder / requirements.name
    if installed.is_file() and installed.read_bytes() == requirements.read_bytes():
        return False
    _run(python, "-m", "venv", "--clear", str(folder))
    _run(str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *options, "-r", str(requirements))
    shutil.copyfile(requirements, installed)
    return True


@contextmanager
def install_lock() -> Iterator[None]:
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "install.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(*command: str, cwd: Path = ROOT) -> None:
    subprocess.run(command, cwd=cwd, check=True, timeout=INSTALL_SECONDS, stdin=subprocess.DEVNULL)


def create_certificate(folder: Path) -> tuple[Path, Path]:
    """Create a certificate for loopback and the emulator's host names, valid for a day. Return it and its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    hosts = (
        "localhost",
        "*.execute-api.localhost",
        f"*.execute-api.{REGION}.amazonaws.com",
        f"cognito-idp.{REGION}.amazonaws.com",
        f"*.auth.{REGION}.amazoncognito.com",
        "*.cloudfront.net",
        "*.example.com",
    )
    names = ",".join(("subjectAltName=IP:127.0.0.1", *(f"DNS:{host}" for host in hosts)))
    options = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1")
    subject = ("-subj", "/CN=localhost", "-addext", names)
    files = ("-out", str(certificate), "-keyout", str(key))
    subprocess.run(
        ("openssl", "req", "-x509", *options, *subject, *files), check=True, capture_output=True, timeout=400
    )
    return certificate, key


def user_environment() -> dict[str, str]:
    """Return the variables of a user's shell, without those of AWS, of Easel and of this interpreter."""
    excluded = ("AWS_", "CDK_", "EASEL_", "PYTHON", "PYTEST_", "VIRTUAL_ENV", "NODE_")
    return {name: value for name, value in os.environ.items() if not name.startswith(excluded)}
