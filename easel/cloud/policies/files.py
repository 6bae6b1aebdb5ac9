"""`easel policies`: write the policies to files, and tell an administrator what to do with them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from easel.cloud.policies.assembly import Assembly, read_assembly
from easel.cloud.policies.boundary import boundary_statements, check_size
from easel.cloud.policies.deployer import deployer_statements
from easel.cloud.policies.documents import Statement, document, merge, size, split
from easel.cloud.policies.execution import boundaries_of, execution_statements
from easel.cloud.policies.github import check_names, github_template
from easel.console.errors import ENVIRONMENT, CommandError

PURPOSES = {
    "deployer": "for the person or the workflow that deploys",
    "execution": "for the role with which CloudFormation creates the resources",
    "boundary": "the most that a role of the stacks may do",
}
Policies = dict[str, Sequence[Statement]]


def policies_of(assemblies: Sequence[Assembly]) -> Policies:
    """Return all policies by the end of their name. Raises CommandError: the boundary is too long."""
    deployer, execution, boundary = (
        merge(chain.from_iterable(map(generate, assemblies)))
        for generate in (deployer_statements, execution_statements, boundary_statements)
    )
    check_size(boundary)
    parts = {f"execution-{number}": part for number, part in enumerate(split(execution), start=1)}
    return {"deployer": deployer, **parts, "boundary": boundary}


def write_policies(folders: Sequence[Path], out: Path, github: str = "", environment: str = "") -> list[str]:
    """Write one file a policy and return lines about them. Raises CommandError.

    `github`: a repository whose workflows deploy from `environment`; their roles are written, too.
    """
    if github:
        check_names(github, environment)
    assemblies = [read_assembly(folder) for folder in folders]
    first, policies = assemblies[0], policies_of(assemblies)
    name = first.name
    documents: dict[str, Any] = {end: document(statements) for end, statements in policies.items()}
    if github:
        documents["github"] = github_template(first, policies["deployer"], github, environment)
    _write(documents, name, out)
    lines = [*_table(policies, name, out), "", *_advice(first, policies, name, out)]
    return [*lines, "", *_github_advice(name, out, environment)] if github else lines


def _write(documents: dict[str, Any], name: str, out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        for old in out.glob(f"{name}-execution-*.json"):
            old.unlink()
        for end, content in documents.items():
            (out / f"{name}-{end}.json").write_text(f"{json.dumps(content, indent=1)}\n", encoding="utf-8")
    except OSError as error:
        why, fix = error.strerror or str(error), "Choose another folder with --out"
        raise CommandError(
            "The policies cannot be written", where=str(out), why=why, fix=fix, code=ENVIRONMENT
        ) from error


def _table(policies: Policies, name: str, out: Path) -> list[str]:
    files = {out / f"{name}-{end}.json": end for end in policies}
    width = max(len(str(file)) for file in files)
    return [
        f"{file!s:<{width}}  {size(policies[end]):>5} characters  {PURPOSES[end.partition('-')[0]]}"
        for file, end in files.items()
    ]


def _advice(assembly: Assembly, policies: Policies, name: str, out: Path) -> list[str]:
    """Return an administrator's commands, and a warning if the stacks' roles have no boundary."""
    account = assembly.account.replace("*", "ACCOUNT")
    region = assembly.region.replace("*", "REGION")
    arns = {end: f"arn:{assembly.partition}:iam::{account}:policy/{name}-{end}" for end in policies}
    execution = ",".join(arn for end, arn in arns.items() if end.startswith("execution"))
    lines = [
        "An administrator runs, once:",
        f"  for end in {' '.join(policies)}; do aws iam create-policy --policy-name {name}-$end "
        f"--policy-document file://{out}/{name}-$end.json; done",
        f"  npx cdk bootstrap aws://{account}/{region} --cloudformation-execution-policies {execution}",
        f"  aws iam attach-user-policy --user-name USER --policy-arn {arns['deployer']}",
    ]
    if "" in boundaries_of(assembly):
        lines += [
            "",
            "The stacks' roles have no permissions boundary: who deploys could give a role any right. To close that,",
            f"synthesise and deploy with -c permissions_boundary={name}-boundary, and run this command again.",
        ]
    return lines


def _github_advice(name: str, out: Path, environment: str) -> list[str]:
    return [
        f"For the workflow .github/workflows/deploy.yml, in the environment {environment}:",
        f"  aws cloudformation deploy --stack-name {name}-github --template-file {out / f'{name}-github.json'} "
        "--capabilities CAPABILITY_IAM",
        "Add --parameter-overrides Provider=ARN if the account has an OIDC provider for GitHub.",
    ]
