"""Checks of this machine: Node, the CDK command line, disk space."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

from easel.cloud.doctor.check import Finding, check, failed, ok
from easel.cloud.doctor.model import GB, folder_size
from easel.cloud.doctor.plan import Plan

SPARE_BYTES = GB
"""Space for the templates and packages that the CDK writes."""


@check("node", remedy="Run `. .venv/bin/activate` if make installed Node there, or install it: https://nodejs.org")
def node(root: Path) -> Finding:
    """Node is installed and new enough for the CDK."""
    oldest = int(re.sub(r"\D", "", _package(root)["engines"]["node"]))
    program = shutil.which("node")
    if program is None:
        return failed("Node is not installed. The CDK needs it.")
    try:
        process = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return failed(f"{program} does not start: {error}.", "Install Node again: https://nodejs.org")
    version = process.stdout.strip()
    number = re.match(r"v(\d+)\.", version)
    if number is None or int(number[1]) < oldest:
        return failed(f"The Node version is {version or 'unknown'}. The CDK needs {oldest} or newer.")
    return ok(f"Node {version} is installed.")


@check("cdk", remedy="npm ci")
def cdk(root: Path) -> Finding:
    """The CDK command line in node_modules has the pinned version.

    `npx cdk` runs it. The npm tag `latest` of aws-cdk cannot read the templates.
    """
    pinned = _package(root)["devDependencies"]["aws-cdk"]
    try:
        package = json.loads((root / "node_modules/aws-cdk/package.json").read_text(encoding="utf-8"))
        installed = package["version"]
    except (OSError, ValueError, KeyError):
        return failed(f"The CDK command line {pinned} is not installed in this folder.", "make synth")
    if installed != pinned:
        return failed(f"The CDK command line has version {installed}. The stacks are tested with {pinned}.")
    return ok(f"The CDK command line {installed} is installed.")


@check("disk", remedy="Delete cdk.out (rm -rf cdk.out) or free disk space elsewhere.")
def disk(plan: Plan, root: Path) -> Finding:
    """The disk has space for the files that a deploy writes.

    A model folder is copied and zipped once before the upload.
    """
    model = plan.model
    copies = 2 * folder_size(model) if model else 0
    free, needed = shutil.disk_usage(root).free, SPARE_BYTES + copies
    message = f"{free / GB:.1f} GB are free at {root}; a deploy needs {needed / GB:.1f} GB."
    return failed(message) if free < needed else ok(message)


def _package(root: Path) -> dict[str, dict[str, str]]:
    package: dict[str, dict[str, str]] = json.loads((root / "package.json").read_text(encoding="utf-8"))
    return package
