"""Custom resource: has CodeBuild import a model, and tells in its log how far it is until CloudFormation can be told.

An import may take longer than a function can run: shortly before its end the function calls itself.
"""

from __future__ import annotations

import json
import time
from typing import Any

import boto3

from .answer import Event, Made, answering, handed_over, short

POLL_SECONDS = 10


class NotImportedError(RuntimeError):
    """Why the model is not in the bucket, and what to do."""


def handler(event: Event, context: Any) -> None:
    answering(lambda event: follow(event, context), stop)(event, context)


def follow(event: Event, context: Any) -> Made | None:
    """The end of the import; None: another run of this function waits for it. Raises NotImportedError."""
    build = event.get("Build") or start(event)
    while True:
        told = boto3.client("codebuild").batch_get_builds(ids=[build])["builds"][0]
        state = progress(event)
        print(state.get("told", told.get("currentPhase", "")))
        if told["buildStatus"] != "IN_PROGRESS":
            return ended(told, state)
        if handed_over(event, context, Build=build):
            return None
        time.sleep(POLL_SECONDS)


def start(event: Event) -> str:
    """The id of the build. Asked again for the same event, CodeBuild starts no second one."""
    asked = event["ResourceProperties"]
    request = json.dumps({**json.loads(asked["Request"]), "bucket": asked["Bucket"], "state": state_key(event)})
    codebuild = boto3.client("codebuild")
    try:
        build = codebuild.start_build(
            projectName=asked["Project"],
            idempotencyToken=event["RequestId"],
            environmentVariablesOverride=[{"name": "EASEL_IMPORT", "value": request, "type": "PLAINTEXT"}],
        )["build"]
    except codebuild.exceptions.AccountLimitExceededException as error:
        raise NotImportedError(
            f"CodeBuild starts no build in this account: {error}. New accounts wait for their first quota: ask for "
            "'Concurrently running builds for Linux/Small environment' in Service Quotas, then deploy again."
        ) from None
    print(f"started {build['id']}")
    return str(build["id"])


def stop(event: Event) -> None:
    """Whoever deletes a stack in the middle of an import leaves no build behind."""
    codebuild, project = boto3.client("codebuild"), event["ResourceProperties"]["Project"]
    for build in codebuild.list_builds_for_project(projectName=project)["ids"][:5]:
        codebuild.stop_build(id=build)


def progress(event: Event) -> dict[str, Any]:
    s3 = boto3.client("s3")
    try:
        body = s3.get_object(Bucket=event["ResourceProperties"]["Bucket"], Key=state_key(event))["Body"]
    except s3.exceptions.NoSuchKey:
        return {}
    return dict(json.loads(body.read()))


def state_key(event: Event) -> str:
    return f"imports/{event['RequestId']}.json"


def ended(build: dict[str, Any], state: dict[str, Any]) -> Made:
    if build["buildStatus"] == "SUCCEEDED" and "prefix" in state:
        commits = " ".join(f"{name}@{commit}" for name, commit in state["commits"].items())
        told = {"Commits": short(commits, 900), "Licence": short(state["licence"], 200)}
        return state["prefix"], {"Prefix": state["prefix"], **told}
    raise NotImportedError(state.get("error") or _why(build))


def _why(build: dict[str, Any]) -> str:
    if build["buildStatus"] == "TIMED_OUT":
        return (
            f"The import took longer than {build['timeoutInMinutes']} minutes. What is in the bucket stays: deploy "
            "again and it goes on."
        )
    told = [context["message"] for phase in build.get("phases", []) for context in phase.get("contexts", [])]
    return f"The build {build['id']} ended as {build['buildStatus']}. {' '.join(filter(None, told))}"
