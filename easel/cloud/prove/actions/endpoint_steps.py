"""Steps about the endpoint: scaling to zero, updates, pausing."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from easel.cloud.doctor.deployment import first_failure
from easel.cloud.doctor.endpoint import endpoint as endpoint_check
from easel.cloud.pause import EndpointSwitch
from easel.cloud.prove.actions.observations import processor, scalable_target, seen
from easel.cloud.prove.releases import MARK
from easel.cloud.prove.run import Facts, Run
from easel.cloud.prove.service import REPORT, REQUEST
from easel.cloud.stack_state import find_endpoint
from easel.console.errors import CommandError

SLEEP_MINUTES, WAKE_MINUTES, SWITCH_MINUTES = 90.0, 45.0, 45
CROWD, BUSY = 8, "model_busy"
ROLLED_BACK = "UPDATE_ROLLBACK_COMPLETE"


def sleep(run: Run) -> Facts:
    """Without requests the endpoint scales to zero."""
    began = time.monotonic()
    run.wait("Waiting until the endpoint sleeps", lambda: run.service.endpoint_status() == "asleep", SLEEP_MINUTES)
    run.meter.use(0)
    facts = {"asleep after": f"{(time.monotonic() - began) / 60:.1f} min"}
    return facts | seen("processors in a minute", lambda: processor(run))


def wake(run: Run) -> Facts:
    """A job wakes the endpoint."""
    if run.service.endpoint_status() != "asleep":
        sleep(run)
    run.meter.use(1)
    began = time.monotonic()
    generated = run.generate(WAKE_MINUTES)
    return {"response": str(generated.status), "image after": f"{(time.monotonic() - began) / 60:.1f} min"}


def update(run: Run) -> Facts:
    """A deploy of other code is served at the same address."""
    generated = run.generate()
    if MARK not in generated.warnings:
        raise CommandError(
            "The old release responds", where="POST /generate", why="its images have no mark",
            fix="easel doctor compares the endpoint's configuration with the deployed one",
        )  # fmt: skip
    return {"response": f"{generated.status} by the new release"}


def realtime(run: Run) -> Facts:
    """A deploy with mode=realtime replaces the endpoint, and images come in one response."""
    generated = run.generate()
    return {"response": str(generated)}


def crowd(run: Run) -> Facts:
    """Jobs at the same moment: each gets an image, or the answer that the model is busy."""
    with ThreadPoolExecutor(CROWD) as pool:
        calls = [pool.submit(run.service.call, "POST", "/jobs", REQUEST) for _ in range(CROWD)]
        ids = [call.result().expect(200, 202).json["id"] for call in calls]
    jobs = [run.finish(id, succeed=False) for id in ids]
    ends = Counter(job.error.code if job.error else job.status for job in jobs)
    if unexpected := sorted(ends.keys() - {"succeeded", BUSY}):
        why = f"a job ended with {', '.join(unexpected)}; an image or {BUSY} is expected"
        raise CommandError("The service does not respond as documented", where="POST /jobs", why=why, fix=REPORT)
    return {end: str(count) for end, count in ends.items()}


def rollback(run: Run) -> Facts:
    """A watched update to a release that fails each request rolls back, and the old release still responds."""
    statuses: Counter[int] = Counter()

    def request() -> None:
        with suppress(CommandError):  # a lost connection; the update goes on
            statuses[service.call("POST", "/generate", {**REQUEST, "num_inference_steps": 1}).status] += 1

    service = run.service
    if not run.deploy("failing", request):
        why, fix = "no alarm of the update was raised", "Look at the alarms in CloudWatch: docs/reference/alarms.md"
        raise CommandError("A release that fails was deployed", where=run.state.name, why=why, fix=fix)
    name = run.account.names.model
    if (status := run.stack_statuses().get(name)) != ROLLED_BACK:
        raise run.refusal(f"{name} is {status} and not {ROLLED_BACK}")
    reason = first_failure(run.account, name)
    checked = endpoint_check.run(run.account, find_endpoint(run.account))
    if checked and checked.status == "failed":
        raise CommandError("The endpoint did not roll back", where=name, why=checked.message, fix=checked.remedy)
    run.generate()
    responses = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
    return {"AWS": reason, "responses meanwhile": responses}


def pause(run: Run) -> Facts:
    """`easel pause` deletes the endpoint; a job then says that it is missing."""
    name = find_endpoint(run.account).endpoint
    EndpointSwitch(run.account, SWITCH_MINUTES, run.progress).pause()
    run.meter.use(0)
    job = run.finish(run.service.api.submit(REQUEST).id, succeed=False)
    code = job.error.code if job.error else job.status
    if code != "endpoint_missing":
        why = f"the job ended with {code}"
        raise CommandError("A paused endpoint is not missing", where="POST /jobs", why=why, fix=REPORT)
    return {"job": code} | seen("autoscaling", lambda: scalable_target(run, name))


def resume(run: Run) -> Facts:
    """`easel resume` creates the endpoint again, and it generates."""
    run.meter.use(1)
    EndpointSwitch(run.account, SWITCH_MINUTES, run.progress).resume()
    generated = run.generate()
    return {"response": str(generated)}
