"""The templates of `cdk synth`, and what a policy must know of them: account, region, CDK roles and buckets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from easel.console.errors import USAGE, CommandError
from stacks.config.names import DEFAULT_NAME, NAME_TAG

Template = Mapping[str, Any]
ANY = "*"


@dataclass(frozen=True)
class Assembly:
    """One folder of `cdk synth`. `account` and `region` are `*` where the templates are for any."""

    account: str
    region: str
    templates: Mapping[str, Template]
    """Stack name to template."""
    cdk_roles: tuple[str, ...]
    """ARNs of the CDK's bootstrap roles that the person assumes: to deploy, to look up and to publish files."""
    asset_buckets: tuple[str, ...]
    """Names of the CDK's buckets with the functions' code."""

    @property
    def partition(self) -> str:
        starts = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
        return next((partition for start, partition in starts.items() if self.region.startswith(start)), "aws")

    def resources(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        """Yield stack, logical id and definition of each resource."""
        for stack, template in self.templates.items():
            for id, resource in template["Resources"].items():
                yield stack, id, resource

    def properties(self, type: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield stack and properties of each resource of a type."""
        for stack, _, resource in self.resources():
            if resource["Type"] == type:
                yield stack, resource.get("Properties", {})

    @property
    def name(self) -> str:
        """The setting `name`, which the buckets have as a tag."""
        for _, bucket in self.properties("AWS::S3::Bucket"):
            for tag in bucket.get("Tags", ()):
                if tag["Key"] == NAME_TAG:
                    return str(tag["Value"])
        return DEFAULT_NAME

    @property
    def types(self) -> set[str]:
        return {resource["Type"] for _, _, resource in self.resources()}

    @cached_property
    def text(self) -> str:
        """All templates as JSON."""
        return json.dumps(dict(self.templates))

    def arn(self, service: str, resource: str, *, region: str | None = None, account: str | None = None) -> str:
        """Return an ARN of this account and region, unless others are given."""
        place = self.region if region is None else region
        return f"arn:{self.partition}:{service}:{place}:{self.account if account is None else account}:{resource}"


def read_assembly(folder: Path) -> Assembly:
    """Read the folder that `cdk synth` has written. Raises CommandError."""
    try:
        artifacts = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["artifacts"]
        stacks = {
            artifact["properties"].get("stackName", id): artifact
            for id, artifact in artifacts.items()
            if artifact["type"] == "aws:cloudformation:stack"
        }
        return _assembly(folder, stacks)
    except (OSError, ValueError, LookupError) as error:
        why = f"{type(error).__name__}: {error}"
        fix = "npx cdk synth --all --quiet, with the -c options of the deploy"
        raise CommandError("There are no templates", where=str(folder), why=why, fix=fix, code=USAGE) from error


def _assembly(folder: Path, stacks: Mapping[str, Mapping[str, Any]]) -> Assembly:
    environment = next(iter(stacks.values()))["environment"]
    account, region = environment.removeprefix("aws://").split("/")
    roles, buckets = set(), set()
    for stack in stacks.values():
        properties = stack["properties"]
        roles |= {properties["assumeRoleArn"], properties["lookupRole"]["arn"]}
        for name in stack["properties"]["additionalDependencies"]:
            assets = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
            for file in assets["files"].values():
                for place in file["destinations"].values():
                    roles.add(place["assumeRoleArn"])
                    buckets.add(place["bucketName"])
    templates = {
        name: json.loads((folder / stack["properties"]["templateFile"]).read_text(encoding="utf-8"))
        for name, stack in stacks.items()
    }
    known = {"unknown-account": ANY, "unknown-region": ANY}
    plain = Assembly(known.get(account, account), known.get(region, region), templates, (), ())
    values = {"AWS::Partition": plain.partition, "AWS::AccountId": plain.account, "AWS::Region": plain.region}

    def resolve(texts: set[str]) -> tuple[str, ...]:
        return tuple(sorted(re.sub(r"\$\{([\w:]+)\}", lambda match: values[match[1]], text) for text in texts))

    return Assembly(plain.account, plain.region, templates, resolve(roles), resolve(buckets))
