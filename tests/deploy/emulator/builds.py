"""Builds of CodeBuild without its image: MiniStack keeps the records, the commands run here with the role's rights."""

import io
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
from ministack.core import iam_actions
from ministack.services import codebuild

from .service import ACCOUNT, REGION, Parameters

HUB = "https://huggingface.co"
PATIENCE_SECONDS = 4
"""StartBuild answers when a build has ended, or after so long: whoever follows one asks every ten seconds."""


def register(act_as: Callable[[str], boto3.Session], hub: str) -> None:
    """Has MiniStack run builds by us. Who asks for the hub is led to `hub`, as a name server would."""
    usual = codebuild._start_build

    def start(asked: Parameters) -> Any:
        project = codebuild._projects.get(asked.get("projectName", ""))
        if project:
            project["environment"]["environmentVariables"] = asked.get("environmentVariablesOverride", [])
        answer = usual(asked)
        build = json.loads(answer[2]).get("build", {}).get("id")
        end = time.monotonic() + PATIENCE_SECONDS
        while build and codebuild._builds[build]["buildStatus"] == "IN_PROGRESS" and time.monotonic() < end:
            time.sleep(0.05)
        return answer

    def execute(build_id: str, project: Parameters) -> None:
        try:
            ended = run(project, act_as(project["serviceRole"]), hub)
        except Exception as error:  # whatever it was ends the build, as it would there
            print(f"{build_id}: {type(error).__name__}: {error}", flush=True)
            ended = "FAULT"
        codebuild._finish_build(codebuild._builds[build_id], ended)

    resource = iam_actions.extract_resource_arn

    def resource_of(service: str, method: str, path: str, headers: Any, body: bytes, *more: Any, **named: Any) -> str:
        """A build is reached by the rights to its project; MiniStack 1.5.33 asks for a right to everything."""
        found: str = resource(service, method, path, headers, body, *more, **named)
        if service != "codebuild" or found != "*":
            return found
        asked = json.loads(body or b"{}")
        build = (asked.get("ids") or [asked.get("id", "")])[0]
        return f"arn:aws:codebuild:{REGION}:{ACCOUNT}:project/{build.partition(':')[0]}"

    iam_actions.extract_resource_arn = resource_of
    codebuild.EXECUTE_BUILDS = True
    codebuild._start_build, codebuild._execute_build = start, execute


def run(project: Parameters, session: boto3.Session, hub: str) -> str:
    """The status of a build that fetched its source and ran its commands with the rights of its role."""
    bucket, _, key = project["source"]["location"].partition("/")
    source = session.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    environment = dict(_environment(project, session, hub))
    with tempfile.TemporaryDirectory(prefix="build-") as folder:
        zipfile.ZipFile(io.BytesIO(source)).extractall(folder)
        for command in json.loads(project["source"]["buildspec"])["phases"]["build"]["commands"]:
            done = subprocess.run(
                ["sh", "-c", command], cwd=folder, env=environment, timeout=project["timeoutInMinutes"] * 60
            )
            if done.returncode:
                return "FAILED"
    return "SUCCEEDED"


def _environment(project: Parameters, session: boto3.Session, hub: str) -> Iterator[tuple[str, str]]:
    keys = session.get_credentials().get_frozen_credentials()
    for name in ("AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        yield name, os.environ[name]
    yield "PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # its Python has boto3, as CodeBuild's has
    yield "AWS_ACCESS_KEY_ID", keys.access_key
    yield "AWS_SECRET_ACCESS_KEY", keys.secret_key
    yield "AWS_SESSION_TOKEN", keys.token
    for variable in project["environment"]["environmentVariables"]:
        yield variable["name"], variable["value"].replace(HUB, hub)
