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
from easel.cloud.stack_state import find_endpoint, find_endpoints
from easel.console.errors import CommandError

SLEEP_MINUTES, WAKE_MINUTES, SWITCH_MINUTES = 90.0, 45.0, 45
CROWD, BUSY = 8, "model_busy"
ROLLED_BACK = "UPDATE_ROLLBACK_COMPLETE"


def sleep(run: Run) -> Facts:
    """Without requests every endpoint scales to zero."""
    began = time.monotonic()
    run.wait("Waiting until the endpoint sleeps", lambda: _all_asleep(run), SLEEP_MINUTES)
    run.meter.use(0)
    facts = {"asleep after": _minutes_since(began)}
    return facts | seen("processors in a minute", lambda: processor(run))


def wake(run: Run) -> Facts:
    """A job wakes the endpoint of its model."""
    if not _all_asleep(run):
        sleep(run)
    run.meter.use(1)
    began = time.monotonic()
    jobs = {model: run.service.api.submit({**REQUEST, "model": model}).id for model in run.state.models[1:]}
    generated = run.generate(WAKE_MINUTES)
    facts = {"response": str(generated.status), "image after": _minutes_since(began)}
    for model, job in jobs.items():
        run.finish(job, WAKE_MINUTES)
        facts[f"image of {model} after"] = _minutes_since(began)
    return facts


def _all_asleep(run: Run) -> bool:
    models = run.service.call("GET", "/health").expect(200).json["models"]
    return all(state["status"] == "asleep" for state in models.values())


def _minutes_since(began: float) -> str:
    return f"{(time.monotonic() - began) / 60:.1f} min"


def update(run: Run) -> Facts:
    """A deploy of other code is served at the same address."""
    each = run.generate_each()
    for model, generated in each.items():
        if MARK not in generated.warnings:
            raise CommandError(
                "The old release responds", where="POST /generate", why=f"the images of {model} have no mark",
                fix="easel doctor compares the endpoint's configuration with the deployed one",
            )  # fmt: skip
    return {model: f"{generated.status} by the new release" for model, generated in each.items()}


def realtime(run: Run) -> Facts:
    """A deploy with mode=realtime replaces the endpoint, and images come in one response."""
    return _responses(run)


def _responses(run: Run) -> Facts:
    return {model: str(generated) for model, generated in run.generate_each().items()}


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
    for deployed in find_endpoints(run.account):
        checked = endpoint_check.run(run.account, deployed)
        if checked and checked.status == "failed":
            raise CommandError("The endpoint did not roll back", where=name, why=checked.message, fix=checked.remedy)
    run.generate_each()
    responses = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
    return {"AWS": reason, "responses meanwhile": responses}


def pause(run: Run) -> Facts:
    """`easel pause` deletes every endpoint; a job then says that it is missing."""
    name = find_endpoint(run.account).endpoint
    EndpointSwitch(run.account, SWITCH_MINUTES, run.progress).pause()
    run.meter.use(0)
    for request in (REQUEST, *({**REQUEST, "model": model} for model in run.state.models[1:])):
        job = run.finish(run.service.api.submit(request).id, succeed=False)
        code = job.error.code if job.error else job.status
        if code != "endpoint_missing":
            why = f"the job ended with {code}"
            raise CommandError("A paused endpoint is not missing", where="POST /jobs", why=why, fix=REPORT)
    return {"job": code} | seen("autoscaling", lambda: scalable_target(run, name))


def resume(run: Run) -> Facts:
    """`easel resume` creates every endpoint again, and each generates."""
    run.meter.use(1)
    EndpointSwitch(run.account, SWITCH_MINUTES, run.progress).resume()
    return _responses(run)
