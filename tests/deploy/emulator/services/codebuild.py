"""CodeBuild without its image: MiniStack keeps the records, the commands run here with the role's credentials."""

import io
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
from ministack.core import iam_actions
from ministack.services import codebuild

from ..aws_api.service import ACCOUNT, REGION, Parameters

HUB = "https://huggingface.co"


def install(assume_role: Callable[[str], boto3.Session], hub_url: str) -> None:
    """Let MiniStack run builds with `run_build`. `hub_url` replaces the hub's address."""
    start_build, resource_arn = codebuild._start_build, iam_actions.extract_resource_arn

    def start(parameters: Parameters) -> Any:
        project = codebuild._projects.get(parameters.get("projectName", ""))
        if project:
            project["environment"]["environmentVariables"] = parameters.get("environmentVariablesOverride", [])
        return start_build(parameters)

    def execute(build_id: str, project: Parameters) -> None:
        try:
            status = run_build(project, assume_role(project["serviceRole"]), hub_url)
        except Exception as error:  # any error ends the build, as in CodeBuild
            print(f"{build_id}: {type(error).__name__}: {error}", flush=True)
            status = "FAULT"
        codebuild._finish_build(codebuild._builds[build_id], status)

    def build_arn(service: str, method: str, path: str, headers: Any, body: bytes, *more: Any, **named: Any) -> str:
        """Return the project's ARN for a build. MiniStack 1.5.33 requires permission for `*`."""
        arn: str = resource_arn(service, method, path, headers, body, *more, **named)
        if service != "codebuild" or arn != "*":
            return arn
        parameters = json.loads(body or b"{}")
        build = (parameters.get("ids") or [parameters.get("id", "")])[0]
        return f"arn:aws:codebuild:{REGION}:{ACCOUNT}:project/{build.partition(':')[0]}"

    iam_actions.extract_resource_arn = build_arn
    codebuild.EXECUTE_BUILDS = True
    codebuild._start_build, codebuild._execute_build = start, execute


def run_build(project: Parameters, session: boto3.Session, hub_url: str) -> str:
    """Download the source, run its commands with the role's credentials, and return the build's status."""
    bucket, _, key = project["source"]["location"].partition("/")
    source = session.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    environment = dict(_environment(project, session, hub_url))
    with tempfile.TemporaryDirectory(prefix="build-") as folder:
        zipfile.ZipFile(io.BytesIO(source)).extractall(folder)
        for command in json.loads(project["source"]["buildspec"])["phases"]["build"]["commands"]:
            result = subprocess.run(
                ["sh", "-c", command], cwd=folder, env=environment, timeout=project["timeoutInMinutes"] * 60
            )
            if result.returncode:
                return "FAILED"
    return "SUCCEEDED"


def _environment(project: Parameters, session: boto3.Session, hub_url: str) -> Iterator[tuple[str, str]]:
    keys = session.get_credentials().get_frozen_credentials()
    for name in ("AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        yield name, os.environ[name]
    yield "PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # this Python has boto3, as CodeBuild's
    yield "AWS_ACCESS_KEY_ID", keys.access_key
    yield "AWS_SECRET_ACCESS_KEY", keys.secret_key
    yield "AWS_SESSION_TOKEN", keys.token
    for variable in project["environment"]["environmentVariables"]:
        yield variable["name"], variable["value"].replace(HUB, hub_url)
