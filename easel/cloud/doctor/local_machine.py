"""What `easel doctor` checks on this machine, without AWS."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from contract import EaselError
from easel.cloud.doctor.check import Check
from easel.cloud.doctor.plan import Plan
from loading.model_folder import check
from stacks.config.catalogue import CatalogueError, FolderSource, HubFiles, HubSource, Model
from stacks.config.model_folder import released_files
from stacks.config.settings import Settings

GB = 10**9
SPARE_BYTES = GB
"""For the templates and the packages of the CDK."""
HUB_SECONDS = 10
QUIET_NODE = 22
MEND = "Mend the folder, or take another model: easel models"


def node(root: Path) -> Check:
    wanted = int(re.sub(r"\D", "", _package(root)["engines"]["node"]))
    program = shutil.which("node")
    if program is None:
        return Check("node", "failed", "Node is not installed; the CDK runs on it.", "https://nodejs.org, 22 or newer")
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("node", "failed", f"{program} does not run: {error}.", "Install it again: https://nodejs.org")
    version = done.stdout.strip()
    found = re.match(r"v(\d+)\.", version)
    if found is None or int(found[1]) < wanted:
        said = f"Node is {version or 'of no version'}; the CDK needs {wanted} or newer."
        return Check("node", "failed", said, "https://nodejs.org, 22 or newer")
    old = "" if int(found[1]) >= QUIET_NODE else f" The CDK warns of its end; {QUIET_NODE} or newer spares you that."
    return Check("node", "ok", f"Node is {version}.{old}")


def cdk(root: Path) -> Check:
    """Of our own `node_modules`: what `npx cdk` runs. npm's `latest` of aws-cdk cannot read our templates."""
    wanted = _package(root)["devDependencies"]["aws-cdk"]
    try:
        found = json.loads((root / "node_modules/aws-cdk/package.json").read_text(encoding="utf-8"))["version"]
    except (OSError, ValueError, KeyError):
        return Check("cdk", "failed", f"The CDK's command line {wanted} is not installed here.", "make synth")
    if found != wanted:
        return Check(
            "cdk", "failed", f"The CDK's command line is {found}; the stacks are tested with {wanted}.", "npm ci"
        )
    return Check("cdk", "ok", f"The CDK's command line is {found}, as pinned.")


def model(plan: Plan) -> Check:
    """Licence and gate; whether the hub gives the model's files out."""
    if plan.model is None:
        return Check("model", "failed", plan.refusal, "easel models lists what there is; docs/aws.md says what fits")
    if isinstance(plan.model.source, HubSource):
        return _hub(plan.model, plan.model.source, plan.settings)
    return Check("model", "ok", f"{plan.model.id}: {_licence(plan.model)}.")


def _hub(chosen: Model, source: HubSource, settings: Settings) -> Check:
    """Of the pipeline's repository, or of the first part's that cannot be had."""
    found = _repository(chosen, source, "model_index.json", settings)
    for part in source.parts.values():
        if found.mark == "ok" and (other := _repository(chosen, part, "config.json", settings)).mark != "ok":
            return other
    return found


def _repository(chosen: Model, source: HubFiles, file: str, settings: Settings) -> Check:
    import httpx

    token, hub = os.environ.get("HF_TOKEN", ""), settings.hub_url.rstrip("/")
    url = f"{hub}/{source.repository}/resolve/{source.revision}/{file}"
    try:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        status = httpx.head(url, headers=headers, timeout=HUB_SECONDS, follow_redirects=True).status_code
    except (httpx.HTTPError, httpx.InvalidURL, ImportError, ValueError) as error:  # a proxy or a token may be at fault
        why = type(error).__name__ if isinstance(error, httpx.HTTPError) else error
        said = f"{chosen.id}: {_licence(chosen)}; {hub} cannot be reached from here ({why})."
        return Check("model", "unknown", said, "Check the network, or set hub_url to a mirror")
    said = f"{chosen.id}: {_licence(chosen)}; the hub"
    if status in (401, 403):
        said = f"{said} does not give {source.repository} to {_who(token)} ({status})"
        if settings.hub_token_secret and not token:
            fix = "export HF_TOKEN=… of the same account to have it checked"
            return Check("model", "unknown", f"{said}; the import sends {settings.hub_token_secret}.", fix)
        fix = f"Accept the licence at {hub}/{source.repository}, then export HF_TOKEN=… and store it"
        return Check("model", "failed", f"{said}.", f"{fix} for hub_token_secret")
    if status == 404:
        fix = "Take another model, or a copy: -c model=path/to/yours"
        return Check("model", "failed", f"{said} has no {source.repository} at {source.revision[:12]} any more.", fix)
    if status >= 400:
        return Check("model", "unknown", f"{said} answers {status}.", "Try again later")
    return Check("model", "ok", f"{said} has {source.repository} at {source.revision[:12]}.")


def _licence(chosen: Model) -> str:
    gate = "to be accepted on the hub" if chosen.gated else "no gate"
    return f"licence {chosen.licence} ({chosen.licence_url}), {gate}"


def _who(token: str) -> str:
    return "the owner of HF_TOKEN" if token else "strangers, and HF_TOKEN is not set"


def folder(plan: Plan) -> Check | None:
    """What of a model folder would be released, and whether the container would load it; None where there is none."""
    if plan.model is None or not isinstance(plan.model.source, FolderSource):
        return None
    path = plan.model.source.path
    try:
        check(path, released_files(path))
    except CatalogueError as error:
        return Check("folder", "failed", str(error), MEND)
    except EaselError as error:
        return Check("folder", "failed", f"{path} would not load: {error.message}. {error.hint}", MEND)
    return Check("folder", "ok", f"{path}: safetensors only, known classes, {_size(path) / GB:.2f} GB.")


def disk(plan: Plan, root: Path) -> Check:
    """A folder is copied and zipped once before it goes up."""
    chosen = plan.model
    copied = 2 * _size(chosen.source.path) if chosen and isinstance(chosen.source, FolderSource) else 0
    free, needed = shutil.disk_usage(root).free, SPARE_BYTES + copied
    said = f"{free / GB:.1f} GB are free at {root}"
    if free < needed:
        return Check("disk", "failed", f"{said}; {needed / GB:.1f} are needed.", "rm -rf cdk.out, or make room")
    return Check("disk", "ok", f"{said}, {needed / GB:.1f} needed.")


def _size(folder: Path) -> int:
    """Of what would be released; 0 where nothing can be, which `folder` tells."""
    try:
        return sum((folder / name).stat().st_size for name in released_files(folder))
    except CatalogueError:
        return 0


def _package(root: Path) -> dict[str, dict[str, str]]:
    told: dict[str, dict[str, str]] = json.loads((root / "package.json").read_text(encoding="utf-8"))
    return told
