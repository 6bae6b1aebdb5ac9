"""Synthesise a variant of the stacks, in this process and without a network."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION"] = "20"

from tests.conftest import ROOT
from tests.model_files import stable_diffusion

Resources = dict[str, dict[str, Any]]
Environment = tuple[str, str]
"""Account and region."""

ENTRY = {
    "id": "tiny",
    "name": "Tiny",
    "licence": "MIT",
    "licence_url": "https://example.org/licence",
    "pipeline": "StableDiffusionPipeline",
    "source": {"kind": "folder", "path": "tiny"},
    "diffusers": "0.15.0",
    "dtype": "float32",
    "gpu_memory_gib": 0,
    "host_memory_gib": 3,
    "sizes": [[64, 64]],
    "max_side": 128,
    "steps": 2,
    "guidance_scale": 1.0,
    "scheduler": "ddim",
    "schedulers": ["ddim", "euler"],
    "suggestions": ["a red apple"],
}

FOLDER = {name: content.decode() for name, content in stable_diffusion().items()}
"""Path to content of the files of a model."""
HUB = {"kind": "hub", "repository": "org/model", "revision": "main", "variant": "fp16"}
SOURCES = {
    "hub": HUB,
    "s3": {"kind": "s3", "uri": "s3://mine/model/"},
}
"""Id to the source of the entries beside `tiny`."""

VARIANTS: Mapping[str, tuple[dict[str, str], Environment | None]] = {
    "default": ({"instance_type": "ml.g4dn.xlarge"}, None),
    "realtime": (
        {
            "mode": "realtime",
            "instance_type": "ml.m5.large",
            "max_instances": "3",
            "result_days": "30",
            "queue_minutes": "5",
            "api_concurrency": "7",
            "alert_email": "you@example.com",
        },
        ("123456789012", "eu-west-1"),
    ),
    "cloud9": (
        {
            "api_auth": "iam",
            "shell": "on",
            "instance_type": "ml.g6.xlarge",
            "instance_fallbacks": "ml.g4dn.xlarge",
            "gpu_host": "al2023",
            "cloud9_cidr": "203.0.113.7/32",
            "cloud9_environment_id": "0123456789abcdef0123456789abcdef",
        },
        None,
    ),
    "gov": (
        {
            "model": "hub",
            "mode": "realtime",
            "instance_type": "ml.g5.xlarge",
            "waf": "on",
            "notebook": "on",
            "notebook_instance_type": "ml.m5.xlarge",
            "domain_name": "draw.example.com",
            "certificate_arn": "arn:aws-us-gov:acm:us-gov-west-1:123456789012:certificate/"
            "01234567-89ab-cdef-0123-456789abcdef",
            "vpc_subnet_ids": "subnet-0a1b2c3d,subnet-1a2b3c4d",
            "vpc_security_group_ids": "sg-0a1b2c3d",
            "kms_key_arn": "arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/mrk-0123456789abcdef0123456789abcdef",
        },
        ("123456789012", "us-gov-west-1"),
    ),
    "own": (
        {
            "mode": "realtime",
            "update": "blue_green",
            "budget_action": "stop",
            "tracing": "on",
            "webhooks": "on",
            "sign_in": "cognito",
            "sign_in_images_a_day": "7",
            "sign_in_mfa": "on",
            "waf": "on",
            "notebook": "on",
            "domain_name": "draw.example.com",
            "certificate_arn": "arn:aws:acm:us-east-1:123456789012:certificate/01234567-89ab-cdef-0123-456789abcdef",
            "hosted_zone_id": "Z0123456789ABCDEFGHIJ",
            "kms_key_arn": "arn:aws:kms:us-east-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef",
        },
        ("123456789012", "us-east-1"),
    ),
    "hub": (
        {
            "model": "hub",
            "instance_type": "ml.m5.large",
            "hub_token_secret": "hub-token",
            "budget_action": "stop",
            "tracing": "on",
            "webhooks": "on",
            "sign_in": "cognito",
            "sign_in_issuer": "https://login.example.com",
            "sign_in_client_id": "easel",
            "sign_in_client_secret": "easel-sign-in",
            "vpc_id": "vpc-0a1b2c3d",
            "vpc_subnet_ids": "subnet-0a1b2c3d,subnet-1a2b3c4d",
            "vpc_security_group_ids": "sg-0a1b2c3d,sg-1a2b3c4d",
        },
        None,
    ),
    "china": (
        {
            "model": "hub",
            "hub_url": "https://mirror.example.cn",
            "api_auth": "none",
            "removal": "retain",
            "domain_name": "draw.example.cn",
            "certificate_arn": "arn:aws-cn:acm:cn-north-1:123456789012:certificate/"
            "01234567-89ab-cdef-0123-456789abcdef",
            "hosted_zone_id": "Z0123456789ABCDEFGHIJ",
            "waf": "arn:aws-cn:wafv2:cn-north-1:123456789012:regional/webacl/mine/01234567-89ab-cdef-0123-456789abcdef",
            "kms_key_arn": "arn:aws-cn:kms:cn-north-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef",
            "cloud9_cidr": "2001:db8::7/128",
            "cloud9_security_group_id": "sg-0123456789abcdef0",
        },
        ("123456789012", "cn-north-1"),
    ),
}


@dataclass(frozen=True)
class Assembly:
    """The templates of one variant."""

    folder: Path
    templates: Mapping[str, dict[str, Any]]
    region: str
    """us-east-1 where the templates are for any region."""

    def resources(self, kind: str, stack: str = "") -> Resources:
        """Return logical id to resource, of one type, in the stacks whose name starts with `stack`."""
        return {
            id: resource
            for name, template in self.templates.items()
            for id, resource in template["Resources"].items()
            if resource["Type"] == kind and name.startswith(stack)
        }

    def properties(self, kind: str, stack: str = "") -> list[dict[str, Any]]:
        """Return the properties of the resources of one type."""
        return [resource["Properties"] for resource in self.resources(kind, stack).values()]

    def only(self, kind: str, stack: str = "") -> dict[str, Any]:
        """Return the properties of the single resource of a type."""
        (properties,) = self.properties(kind, stack)
        return properties

    def lint(self, stack: str = "*") -> list[str]:
        """Return what cfn-lint reports, except dependencies that the CDK writes and a reference implies.

        One run for all templates: cfn-lint takes longer to load its rules than to check a template.
        """
        from cfnlint.config import ConfigMixIn, ManualArgs
        from cfnlint.runner import Runner

        paths = [str(path) for path in self.folder.glob(f"{stack}.template.json")]
        arguments = ManualArgs(regions=[self.region], ignore_checks=["W3005"], templates=paths)
        return [f"{match.rule.id} {match.message}" for match in Runner(ConfigMixIn(**arguments)).run()]

    def outputs(self, stack: str) -> dict[str, Any]:
        return {name: output["Value"] for name, output in self.templates[stack].get("Outputs", {}).items()}


def flat(value: Any) -> str:
    """Return a text of a template; a reference is replaced by its name."""
    parts = value["Fn::Join"][1] if isinstance(value, dict) and "Fn::Join" in value else [value]
    return "".join(part if isinstance(part, str) else str(next(iter(part.values()))) for part in parts)


def write_model(root: Path, **changes: Any) -> Path:
    """Write a catalogue of one tiny model below `root`. A change to None removes the key."""
    entry = {key: value for key, value in {**ENTRY, **changes}.items() if value is not None}
    write_files(root / "models" / "tiny", {**FOLDER, "README.md": "the model card"})
    (root / "models" / "tiny.json").write_text(json.dumps(entry))
    return root


def write_files(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def write_page(folder: Path) -> Path:
    """Write a small folder with the structure that Vite builds."""
    (folder / "assets").mkdir(parents=True, exist_ok=True)
    for name in ("index.html", "theme.js", "favicon.svg", "assets/index-B0w7VHc9.js"):
        (folder / name).write_text(name)
    return folder


def synthesise(out: Path, root: Path, settings: Mapping[str, str], env: Environment | None) -> Assembly:
    """Write the assembly of some settings. Importing the CDK starts Node."""
    import aws_cdk as cdk

    import app as composition

    flags = json.loads((ROOT / "cdk.json").read_text())["context"]
    account, region = env or (None, None)
    place = cdk.Environment(account=account, region=region) if env else None
    app = cdk.App(context={**flags, "model": "tiny", **settings}, outdir=str(out))
    composition.create_stacks(app, root=root, page=write_page(root / "page"), env=place)
    app.synth()
    templates = {path.name.split(".")[0]: json.loads(path.read_text()) for path in out.glob("*.template.json")}
    return Assembly(out, templates, region or "us-east-1")
