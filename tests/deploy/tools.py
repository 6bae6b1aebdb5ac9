"""Sets up what the deploy test runs with: the emulator's interpreter, the CDK command line, a certificate."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
EMULATOR_VENV = ROOT / ".cache" / "emulator-venv"
EMULATOR_PYTHON = EMULATOR_VENV / "bin" / "python"
CDK = ROOT / "node_modules" / ".bin" / "cdk"
SDK = HERE / "node_modules"
"""What Lambda gives to Node functions and the emulator does not: the AWS SDK."""
INSTALL_SECONDS = 1800


class MissingToolError(RuntimeError):
    """A program that must be on this machine before the deploy test can run."""


def set_up() -> None:
    """Installs what is missing; does nothing the second time."""
    for program, why in {"node": "the CDK and its functions run on it", "npm": "installs the CDK",
                         "openssl": "makes the emulator's certificate"}.items():  # fmt: skip
        if shutil.which(program) is None:
            raise MissingToolError(f"The deploy test needs {program}: {why}. Install it (Node >= 20), then try again.")
    install_emulator()
    for folder in (ROOT, HERE):
        if not (folder / "node_modules").is_dir():
            _run("npm", "ci", "--no-audit", "--no-fund", "--silent", cwd=folder)


def install_emulator() -> None:
    """Does nothing where it is installed as requirements.txt has it."""
    install(EMULATOR_VENV, HERE / "requirements.txt", "--require-hashes")


def install(folder: Path, wanted: Path, *options: str, python: str = sys.executable) -> bool:
    """A venv of what `wanted` pins. False: it is there already, and as `wanted` has it."""
    installed = folder / wanted.name
    if installed.is_file() and installed.read_bytes() == wanted.read_bytes():
        return False
    _run(python, "-m", "venv", "--clear", str(folder))
    _run(str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *options, "-r", str(wanted))
    shutil.copyfile(wanted, installed)
    return True


def _run(*command: str, cwd: Path = ROOT) -> None:
    subprocess.run(command, cwd=cwd, check=True, timeout=INSTALL_SECONDS, stdin=subprocess.DEVNULL)


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for loopback and the emulator's names, good for a day, and its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    names = "subjectAltName=DNS:localhost,DNS:*.execute-api.localhost,IP:127.0.0.1"
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1")
    told = ("-subj", "/CN=localhost", "-addext", names)
    where = ("-out", str(certificate), "-keyout", str(key))
    subprocess.run(("openssl", "req", "-x509", *new, *told, *where), check=True, capture_output=True, timeout=30)
    return certificate, key


def plain_environment() -> dict[str, str]:
    """What a person's shell has, less everything that speaks of AWS or of this test's own interpreter."""
    foreign = ("AWS_", "CDK_", "EASEL_", "PYTHON", "PYTEST_", "VIRTUAL_ENV", "NODE_")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def project_python() -> str:
    return sys.executable
