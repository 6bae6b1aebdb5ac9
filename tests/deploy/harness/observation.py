"""Log lines and states of a deployment at work."""

import http.client
import itertools
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from custom_resources.wait_for_endpoint import POLL_SECONDS
from tests.deploy.harness.account import CdkCommand
from tests.deploy.harness.api_client import Response
from tests.deploy.harness.constants import REQUEST
from tests.deploy.harness.deployment import Deployment, parse_json_lines, stack_events, wait_until
from tests.deploy.harness.short_waits.sitecustomize import FACTOR
from tests.deploy.harness.storage import keys, open_bucket

PROBLEM_FIELDS = {
    "type", "title", "status", "detail", "instance", "code", "request_id", "retryable", "hint", "error",
}  # fmt: skip


def assert_problem(response: Response, status: int, code: str) -> None:
    """Assert that a response is an error document with this status and code."""
    assert (response.status, response.headers["content-type"]) == (status, "application/problem+json")
    problem = response.json
    assert problem.keys() >= PROBLEM_FIELDS
    assert (problem["status"], problem["code"], problem["error"]["code"]) == (status, code, code)


def assert_traceable(deployment: Deployment, last_handler: str) -> None:
    """Assert that ids lead from the caller's `request_id` by the job's record to the model's and `last_handler`'s logs.

    Nobody may read the job meanwhile: the API would end a job whose output it finds.
    """
    request_id = deployment.api.call("POST", "/jobs", REQUEST).headers["x-request-id"]
    accepted = find_log_line(deployment, "handlers.api", message="accepted", request_id=request_id)
    folder = f"jobs/{accepted['owner']}/{accepted['job']}"
    wait_until(lambda: f"{folder}/outcome.json" in keys(deployment, folder))
    s3, bucket = open_bucket(deployment)
    record = json.loads(s3.get_object(Bucket=bucket, Key=f"{folder}/job.json")["Body"].read())
    inference_id = {"inference_id": f"{record['owner']}-{record['id']}"}
    assert accepted["inference_id"] == inference_id["inference_id"]
    assert find_log_line(deployment, last_handler, message="job", **inference_id)["status"] == "succeeded"
    lines = parse_json_lines((deployment.account.folder / "emulator.log").read_text(errors="replace").splitlines())
    generated = {"event": "generated", **inference_id}
    assert [line["images"] for line in lines if generated.items() <= line.items()] == [1]


def find_log_line(deployment: Deployment, handler: str, **fields: str) -> dict[str, Any]:
    """Return the only line of a function's log with these fields, once it is there."""
    functions, logs = deployment.account.client("lambda"), deployment.account.client("logs")
    function = deployment.function(handler)
    matching: list[dict[str, Any]] = []

    attempts = itertools.count(1)

    def invoke(_: int) -> None:
        functions.invoke(FunctionName=function["FunctionName"], Payload=b'{"Records": []}')

    def logged() -> bool:
        """Invoke the function, in more processes at each attempt: the emulator only then reads lines that came late."""
        processes = min(next(attempts), 4)
        with ThreadPoolExecutor(processes) as pool:
            list(pool.map(invoke, range(processes)))
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=function["LoggingConfig"]["LogGroup"])
        lines = parse_json_lines(event["message"] for page in pages for event in page["events"])
        matching[:] = [line for line in lines if fields.items() <= line.items()]
        return matching != []

    wait_until(logged)
    (line,) = matching
    return line


def use_up_budget(deployment: Deployment) -> None:
    """Let the month's cost pass the budget, and wait until the API refuses jobs because of it."""
    (deployment.account.folder / "hold" / "Spent").write_text("50.01")
    wait_until(lambda: "budget" in str(deployment.api.call("GET", "/health").json["endpoint"]["detail"]))
    assert_problem(deployment.api.call("POST", "/generate", REQUEST), 503, "over_budget")
    check = deployment.doctor()["budget_stop"]
    assert check["status"] == "failed"
    assert "easel resume" in check["remedy"]


def check_budget(deployment: Deployment) -> str:
    """Run the scheduled check of the function that keeps the endpoint stopped. Return what it found or did."""
    name = deployment.function("custom_resources.budget_stop.handler")["FunctionName"]
    response = deployment.account.client("lambda").invoke(FunctionName=name, Payload=b'{"source": "aws.events"}')
    return str(json.loads(response["Payload"].read()))


def kill_container_at_work(deployment: Deployment, seconds: float = 180) -> None:
    """Kill the container while it generates."""
    container = deployment.account.container()
    port = int(container.cmdline()[container.cmdline().index("--port") + 1])
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/progress")
        step = json.loads(connection.getresponse().read())["step"]
        connection.close()
        if step:
            container.kill()
            return
        time.sleep(0.05)
    raise AssertionError("the container generated nothing")


def assert_destroy_waits(deployment: Deployment, command: CdkCommand, status: str) -> None:
    """Assert that a destroy that has come to an endpoint in this state waits."""

    def wait_events() -> list[str]:
        return stack_events(deployment.account).get("Custom::EaselWaitForEndpoint", [])

    wait_until(lambda: deployment.endpoint_status() == status and "DELETE_IN_PROGRESS" in wait_events())
    time.sleep(2 * POLL_SECONDS / FACTOR + 1)
    assert deployment.endpoint_status() == status
    assert "DELETE_COMPLETE" not in wait_events()
    assert command.running
