"""Custom resource: has CodeBuild import a model, and tells in its log how far it is until CloudFormation can be told.

An import may take longer than a function can run: shortly before its end the function calls itself.
"""

from __future__ import annotations

import json
import time
from typing import Any

import boto3

from .response import PATIENT, Event, Made, answering, handed_over, short

POLL_SECONDS = 10
_ROOM = "ask for 'Concurrently running builds for Linux/Small environment' in Service Quotas, then deploy again"


class NotImportedError(RuntimeError):
    """Why the model is not in the bucket, and what to do."""


def handler(event: Event, context: Any) -> None:
    answering(lambda event: follow(event, context), stop)(event, context)


def follow(event: Event, context: Any) -> Made | None:
    """The end of the import; None: another run of this function waits for it. Raises NotImportedError."""
    build = event.get("Build") or start(event)
    codebuild = boto3.client("codebuild", config=PATIENT)
    while True:
        told = codebuild.batch_get_builds(ids=[build])["builds"][0]
        state = progress(event)
        print(state.get("message", told.get("currentPhase", "")))
        if told["buildStatus"] != "IN_PROGRESS":
            return ended(told, state)
        if handed_over(event, context, Build=build):
            return None
        time.sleep(POLL_SECONDS)


def start(event: Event) -> str:
    """The id of the build: of the one that runs for the same event, if there is one, as CodeBuild knows its token for
    five minutes only. Others end: in the way back of a stack they would hold the place that a new account has."""
    asked = event["ResourceProperties"]
    request = json.dumps({**json.loads(asked["Request"]), "bucket": asked["Bucket"], "state": state_key(event)})
    variable = {"name": "EASEL_IMPORT", "value": request, "type": "PLAINTEXT"}
    codebuild = boto3.client("codebuild", config=PATIENT)
    for build in running(codebuild, asked["Project"]):
        if variable in build["environment"].get("environmentVariables", ()):
            return str(build["id"])
        codebuild.stop_build(id=build["id"])
    try:
        build = codebuild.start_build(
            projectName=asked["Project"],
            idempotencyToken=event["RequestId"],
            environmentVariablesOverride=[variable],
        )["build"]
    except codebuild.exceptions.AccountLimitExceededException as error:
        told = f"CodeBuild starts no build in this account: {error}. New accounts wait for their first quota: {_ROOM}."
        raise NotImportedError(told) from None
    print(f"started {build['id']}")
    return str(build["id"])


def stop(event: Event) -> None:
    """Whoever deletes a stack in the middle of an import leaves no build behind."""
    codebuild = boto3.client("codebuild", config=PATIENT)
    for build in running(codebuild, event["ResourceProperties"]["Project"]):
        codebuild.stop_build(id=build["id"])


def running(codebuild: Any, project: str) -> list[dict[str, Any]]:
    """Of its newest builds, those that have not ended."""
    newest = codebuild.list_builds_for_project(projectName=project)["ids"][:5]
    builds = codebuild.batch_get_builds(ids=newest)["builds"] if newest else []
    return [build for build in builds if build["buildStatus"] == "IN_PROGRESS"]


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
    phases = build.get("phases", [])
    if any((phase["phaseType"], phase.get("phaseStatus")) == ("QUEUED", "TIMED_OUT") for phase in phases):
        return (
            f"CodeBuild had no room for the import within {build['queuedTimeoutInMinutes']} minutes: as many builds "
            f"run as this account may have. Deploy again when one of them has ended, or {_ROOM}."
        )
    if build["buildStatus"] == "TIMED_OUT":
        return (
            f"The import took longer than {build['timeoutInMinutes']} minutes. What is in the bucket stays: deploy "
            "again and it goes on."
        )
    told = [context["message"] for phase in phases for context in phase.get("contexts", [])]
    return f"The build {build['id']} ended as {build['buildStatus']}. {' '.join(filter(None, told))}"
