"""Synthesise what the deploy tests deploy: the app as it is, and with one thing changed or broken.

`python -m tests.deploy.harness.assemblies FOLDER async|realtime|own [KEY_ARN]`: the assemblies of one account. One
process makes them all: loading the CDK takes longer than a synthesis.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk

import app
from easel.cloud.prove.releases import FAILING, MARKING, write_code
from stacks.model.stack import MODEL_CODE
from tests.deploy.emulator.aws_api.service import ACCOUNT, REGION
from tests.deploy.harness.constants import MODEL, NETWORK, OTHER_MODEL, SECOND, SETTINGS
from tests.deploy.harness.environment import ROOT

EXITING = """

raise SystemExit("this release cannot start")
"""


def edited_code(folder: Path, added: str) -> Path:
    return write_code(MODEL_CODE, folder, added)


def hub_catalogue(folder: Path) -> Path:
    """Write a catalogue with the embedded model and an entry whose model is on a hub."""
    entry = json.loads((ROOT / "models" / f"{MODEL}.json").read_text())
    source = {"kind": "hub", "repository": "org/model", "revision": "main"}
    other = {"id": OTHER_MODEL, "name": "Other", "source": source}
    (folder / "models").mkdir(parents=True)
    (folder / "models" / f"{OTHER_MODEL}.json").write_text(json.dumps({**entry, **other}))
    shutil.copytree(ROOT / "models" / MODEL, folder / "models" / MODEL)
    (folder / "models" / f"{MODEL}.json").write_text(json.dumps(entry))
    return folder


def synthesise(output: Path, mode: str, code: Path = MODEL_CODE, catalogue: Path = ROOT, **more: str) -> Path:
    """Write the assembly of `cdk synth -c model=… -c instance_type=ml.m5.large -c mode=… -c site=…` to `output`."""
    site = "on" if mode == "async" else "off"  # one account with the site is enough: each stack takes seconds
    model = MODEL if catalogue == ROOT else OTHER_MODEL
    sign_in = "cognito" if site == "on" and "site" not in more else "off"
    settings = {**SETTINGS, "model": model, "mode": mode, "site": site, "sign_in": sign_in, **more}
    flags = json.loads((ROOT / "cdk.json").read_text())["context"]
    root = cdk.App(outdir=str(output), context=flags | settings, builtin_cloud_formation_validation=False)
    app.create_stacks(root, root=catalogue, code=code, env=cdk.Environment(account=ACCOUNT, region=REGION))
    root.synth()
    return output


def alter(assembly: Path, output: Path, stack: str, change: Callable[[dict[str, Any]], None]) -> Path:
    """Copy an assembly and apply `change` to the template of one stack."""
    shutil.copytree(assembly, output)
    template = output / f"{stack}.template.json"
    content = json.loads(template.read_text())
    change(content)
    template.write_text(json.dumps(content))
    assets = output / f"{stack}.assets.json"
    files = json.loads(assets.read_text())["files"]
    old = next(key for key, file in files.items() if file["source"]["path"] == template.name)
    new = hashlib.sha256(template.read_bytes()).hexdigest()
    for file in (assets, output / "manifest.json"):  # a new hash, or the CLI would not upload the template
        file.write_text(file.read_text().replace(old, new))
    return output


def remove_auto_delete(template: dict[str, Any]) -> None:
    resources = template["Resources"]
    for name in [name for name, value in resources.items() if value["Type"] == "Custom::S3AutoDeleteObjects"]:
        del resources[name]


def remove_action(action: str) -> Callable[[dict[str, Any]], None]:
    """Return a change that removes `action` from every policy."""

    def change(template: dict[str, Any]) -> None:
        policies = [value for value in template["Resources"].values() if value["Type"] == "AWS::IAM::Policy"]
        for statement in [item for policy in policies for item in policy["Properties"]["PolicyDocument"]["Statement"]]:
            actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
            statement["Action"] = [name for name in actions if name != action] or ["sagemaker:DescribeEndpoint"]

    return change


def make_async(folder: Path) -> None:
    changed, exiting = edited_code(folder / "changed-code", MARKING), edited_code(folder / "exiting-code", EXITING)
    synthesise(folder / "first", "async")
    synthesise(folder / "changed", "async", changed)
    hub = hub_catalogue(folder / "catalogue")
    synthesise(folder / "imported", "async", changed, hub)
    synthesise(folder / "several", "async", changed, hub, model=f"{OTHER_MODEL},{MODEL}")
    synthesise(folder / "broken", "async", exiting, hub)
    synthesise(folder / "exiting", "async", exiting, removal="retain")


def make_realtime(folder: Path) -> None:
    """Write assemblies whose bucket is not emptied, with watched updates."""
    codes = {"first": MODEL_CODE, "failing": edited_code(folder / "failing-code", FAILING),
             "exiting": edited_code(folder / "exiting-code", EXITING),
             "changed": edited_code(folder / "changed-code", MARKING)}  # fmt: skip
    for name, code in codes.items():
        plain = synthesise(folder / f"plain-{name}", "realtime", code, update="blue_green")
        alter(plain, folder / name, "EaselStorage", remove_auto_delete)
    plain = synthesise(folder / "plain-no-endpoint", "realtime", codes["changed"], endpoint="off")
    alter(plain, folder / "no-endpoint", "EaselStorage", remove_auto_delete)
    synthesise(folder / "second", "async", site="off", name=SECOND)
    alter(folder / "changed", folder / "forbidden", "EaselApi", remove_action("sagemaker:InvokeEndpoint"))


def make_own(folder: Path, key_arn: str) -> None:
    """Write assemblies with everything that a customer may bring: key, network, firewall; and the notebook."""
    changed, hub = edited_code(folder / "changed-code", MARKING), hub_catalogue(folder / "catalogue")
    own = {"kms_key_arn": key_arn, "waf": "on", "notebook": "on", "site": "off", "webhooks": "on", **NETWORK}
    synthesise(folder / "first", "async", MODEL_CODE, hub, **own)
    synthesise(folder / "changed", "async", changed, hub, **own)


if __name__ == "__main__":
    makers: dict[str, Callable[..., None]] = {"async": make_async, "realtime": make_realtime, "own": make_own}
    makers[sys.argv[2]](Path(sys.argv[1]), *sys.argv[3:])
