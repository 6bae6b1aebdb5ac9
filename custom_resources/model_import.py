"""Custom resource: runs the import of a model in CodeBuild, and logs its progress until it ends.

An import may take longer than one invocation of a function: then the function invokes itself and continues.
"""

from __future__ import annotations

import json
import time
from typing import Any

import boto3

from .objects import read_object
from .response import RETRIES, Event, Result, continue_in_next_invocation, make_handler, truncate

POLL_SECONDS = 10
_RAISE_QUOTA = (
    "request more of 'Concurrently running builds for Linux/Small environment' in Service Quotas, then deploy again"
)


class ImportFailedError(RuntimeError):
    """The model was not imported: why, and what to do."""


def handler(event: Event, context: Any) -> None:
    make_handler(lambda event: follow(event, context), stop=stop)(event, context)


def follow(event: Event, context: Any) -> Result | None:
    """Start the build, or continue with `Build` of the event, and wait for its end.

    Returns None if another invocation continues. Raises ImportFailedError.
    """
    build_id = event.get("Build") or start(event)
    codebuild = boto3.client("codebuild", config=RETRIES)
    while True:
        build = codebuild.batch_get_builds(ids=[build_id])["builds"][0]
        state = progress(event)
        print(state.get("message", build.get("currentPhase", "")))
        if build["buildStatus"] != "IN_PROGRESS":
            return result(build, state)
        if continue_in_next_invocation(event, context, Build=build_id):
            return None
        time.sleep(POLL_SECONDS)


def start(event: Event) -> str:
    """Start a build and return its id, or return the id of the build that runs for the same event already.

    CodeBuild remembers the token of an event for five minutes only. Builds for other events are stopped: in a rollback
    they would occupy the only build that a new account may run. Raises ImportFailedError.
    """
    properties = event["ResourceProperties"]
    request = {**json.loads(properties["Request"]), "bucket": properties["Bucket"], "state": state_key(event)}
    variable = {"name": "EASEL_IMPORT", "value": json.dumps(request), "type": "PLAINTEXT"}
    codebuild = boto3.client("codebuild", config=RETRIES)
    for build in running(codebuild, properties["Project"]):
        if variable in build["environment"].get("environmentVariables", ()):
            return str(build["id"])
        codebuild.stop_build(id=build["id"])
    try:
        build = codebuild.start_build(
            projectName=properties["Project"],
            idempotencyToken=event["RequestId"],
            environmentVariablesOverride=[variable],
        )["build"]
    except codebuild.exceptions.AccountLimitExceededException as error:
        raise ImportFailedError(
            f"CodeBuild starts no build in this account: {error}. A new account may have a quota of 0 at first: "
            f"{_RAISE_QUOTA}."
        ) from None
    print(f"started {build['id']}")
    return str(build["id"])


def stop(event: Event) -> None:
    """Stop the builds of the project, so that a stack deleted during an import leaves none running."""
    codebuild = boto3.client("codebuild", config=RETRIES)
    for build in running(codebuild, event["ResourceProperties"]["Project"]):
        codebuild.stop_build(id=build["id"])


def running(codebuild: Any, project: str) -> list[dict[str, Any]]:
    """Return the builds that have not ended, of the newest five."""
    newest = codebuild.list_builds_for_project(projectName=project)["ids"][:5]
    builds = codebuild.batch_get_builds(ids=newest)["builds"] if newest else []
    return [build for build in builds if build["buildStatus"] == "IN_PROGRESS"]


def progress(event: Event) -> dict[str, Any]:
    """Return the state that the importer has written; empty before it has written any."""
    body = read_object(event["ResourceProperties"]["Bucket"], state_key(event))
    return dict(json.loads(body)) if body else {}


def state_key(event: Event) -> str:
    return f"imports/{event['RequestId']}.json"


def result(build: dict[str, Any], state: dict[str, Any]) -> Result:
    """Return the result of a build that has ended. Raises ImportFailedError."""
    if build["buildStatus"] == "SUCCEEDED" and "prefix" in state:
        commits = " ".join(f"{name}@{commit}" for name, commit in state["commits"].items())
        about = {"Commits": truncate(commits, 900), "Licence": truncate(state["licence"], 200)}
        return state["prefix"], {"Prefix": state["prefix"], **about}
    raise ImportFailedError(state.get("error") or _failure(build))


def _failure(build: dict[str, Any]) -> str:
    phases = build.get("phases", [])
    if any((phase["phaseType"], phase.get("phaseStatus")) == ("QUEUED", "TIMED_OUT") for phase in phases):
        return (
            f"CodeBuild could not start the import within {build['queuedTimeoutInMinutes']} minutes: this account "
            f"already runs as many builds as it may. Deploy again when one of them has ended, or {_RAISE_QUOTA}."
        )
    if build["buildStatus"] == "TIMED_OUT":
        return (
            f"The import took longer than {build['timeoutInMinutes']} minutes. The files in the bucket stay: deploy "
            "again, and the import continues."
        )
    messages = [context["message"] for phase in phases for context in phase.get("contexts", [])]
    return f"The build {build['id']} ended as {build['buildStatus']}. {' '.join(filter(None, messages))}"
