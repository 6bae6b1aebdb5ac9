"""Synthesises what the deploy test deploys: the app as it stands, and with one thing changed or broken.

`python -m tests.deploy.assemble FOLDER [KEY]`, with a key only what is deployed with it. One process makes all: loading
the CDK costs more than a synthesis.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import aws_cdk as cdk

import app
import stacks.model.stack
from tests.deploy.agreed import MARK, MODEL, NETWORK, OTHER
from tests.deploy.emulator.service import ACCOUNT, REGION
from tests.deploy.tools import ROOT

MARKING = f"""

import dataclasses

_first_predict_fn = predict_fn


def predict_fn(data, model):
    drawn = _first_predict_fn(data, model)
    return dataclasses.replace(drawn, warnings=(*drawn.warnings, {MARK!r}))
"""
EXITING = """

raise SystemExit("this release cannot start")
"""
REFUSING = """

def predict_fn(data, model):
    raise RuntimeError("this release cannot draw")
"""


def edited(folder: Path, added: str) -> Path:
    """A copy of the container's code with some lines added."""
    code = shutil.copytree(stacks.model.stack.MODEL_CODE, folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    with (code / "inference.py").open("a") as file:
        file.write(added)
    return code


def hub_catalogue(folder: Path) -> Path:
    """A catalogue with another entry, of a model on a hub."""
    entry = json.loads((ROOT / "models" / f"{MODEL}.json").read_text())
    other = {"id": OTHER, "name": "Other", "source": {"kind": "hub", "repository": "org/model", "revision": "main"}}
    (folder / "models").mkdir(parents=True)
    (folder / "models" / f"{OTHER}.json").write_text(json.dumps({**entry, **other}))
    return folder


def synthesise(
    output: Path, mode: str, code: Path = stacks.model.stack.MODEL_CODE, catalogue: Path = ROOT, **more: str
) -> Path:
    """What `cdk synth -c model=… -c instance_type=ml.m5.large -c mode=… -c site=…` makes."""
    site = "on" if mode == "async" else "off"  # once is enough: each deploy of a stack takes seconds
    model = MODEL if catalogue == ROOT else OTHER
    settings = {"model": model, "instance_type": "ml.m5.large", "mode": mode, "site": site, **more}
    flags = json.loads((ROOT / "cdk.json").read_text())["context"]
    root = cdk.App(outdir=str(output), context=flags | settings)
    with mock.patch.object(stacks.model.stack, "MODEL_CODE", code):
        app.compose(root, root=catalogue, env=cdk.Environment(account=ACCOUNT, region=REGION))
    root.synth()
    return output


def altered(assembly: Path, output: Path, stack: str, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of an assembly in which `change` was made to the template of one stack."""
    shutil.copytree(assembly, output)
    template = output / f"{stack}.template.json"
    content = json.loads(template.read_text())
    change(content)
    template.write_text(json.dumps(content))
    assets = output / f"{stack}.assets.json"
    files = json.loads(assets.read_text())["files"]
    old = next(key for key, file in files.items() if file["source"]["path"] == template.name)
    new = hashlib.sha256(template.read_bytes()).hexdigest()
    for file in (assets, output / "manifest.json"):  # else the CLI would take the old template for uploaded
        file.write_text(file.read_text().replace(old, new))
    return output


def drop_auto_delete(template: dict[str, Any]) -> None:
    resources = template["Resources"]
    for name in [name for name, one in resources.items() if one["Type"] == "Custom::S3AutoDeleteObjects"]:
        del resources[name]


def drop_action(action: str) -> Callable[[dict[str, Any]], None]:
    """Takes `action` out of every policy."""

    def change(template: dict[str, Any]) -> None:
        policies = [one for one in template["Resources"].values() if one["Type"] == "AWS::IAM::Policy"]
        for statement in [one for policy in policies for one in policy["Properties"]["PolicyDocument"]["Statement"]]:
            actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
            statement["Action"] = [one for one in actions if one != action] or ["sagemaker:DescribeEndpoint"]

    return change


def main(folder: Path) -> None:
    changed, exiting = edited(folder / "changed-code", MARKING), edited(folder / "exiting-code", EXITING)
    refusing = edited(folder / "refusing-code", REFUSING)
    synthesise(folder / "async", "async")
    synthesise(folder / "changed", "async", changed)
    hub = hub_catalogue(folder / "catalogue")
    synthesise(folder / "imported", "async", changed, hub)
    synthesise(folder / "broken", "async", exiting, hub)
    synthesise(folder / "exiting", "async", exiting, removal="retain")
    plain = synthesise(folder / "realtime", "realtime", update="blue_green")
    altered(plain, folder / "kept", "EaselStorage", drop_auto_delete)
    plain = synthesise(folder / "realtime-refusing", "realtime", refusing, update="blue_green")
    altered(plain, folder / "refusing", "EaselStorage", drop_auto_delete)
    plain = synthesise(folder / "realtime-exiting", "realtime", exiting, update="blue_green")
    altered(plain, folder / "unhealthy", "EaselStorage", drop_auto_delete)
    away = synthesise(folder / "realtime-away", "realtime", changed, endpoint="off")
    altered(away, folder / "away", "EaselStorage", drop_auto_delete)
    plain = synthesise(folder / "realtime-other", "realtime", changed, update="blue_green")
    anew = altered(plain, folder / "anew", "EaselStorage", drop_auto_delete)
    altered(anew, folder / "forbidden", "EaselApi", drop_action("sagemaker:InvokeEndpoint"))


def main_with_key(folder: Path, key: str) -> None:
    """All that an account of one's own may bring: the key, a network, a firewall and the notebook."""
    changed, hub = edited(folder / "changed-code", MARKING), hub_catalogue(folder / "catalogue")
    own = {"kms_key_arn": key, "waf": "on", "notebook": "on", "site": "off", **NETWORK}
    synthesise(folder / "own", "async", stacks.model.stack.MODEL_CODE, hub, **own)
    synthesise(folder / "own-changed", "async", changed, hub, **own)


if __name__ == "__main__":
    main(Path(sys.argv[1])) if len(sys.argv) == 2 else main_with_key(Path(sys.argv[1]), sys.argv[2])
