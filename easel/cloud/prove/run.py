"""What a step uses: the account, the deployed service, the CDK, waiting, and the limit of costs."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from easel import ROOT
from easel.client.responses import JobState
from easel.cloud.account import Account, aws_errors
from easel.cloud.doctor.deployment import NOT_CREATED, first_failure, stacks
from easel.cloud.known_failures import advice_for
from easel.cloud.outputs import api_variables, read_outputs
from easel.cloud.prove.cdk import Cdk
from easel.cloud.prove.cost import Meter
from easel.cloud.prove.progress import Progress
from easel.cloud.prove.service import REPORT, REQUEST, Service
from easel.cloud.prove.state import State
from easel.console.errors import ENVIRONMENT, CommandError
from easel.console.terminal import Tick

POLL_SECONDS = 5.0
LOST_POLLS = 24
"""Polls in a row that may fail because the network is away: two minutes."""
DESTROY_ATTEMPTS = 3
LOOK_SECONDS, RESOURCE = 30.0, "has been changing"
SETTLE_MINUTES = 90.0
PUBLIC_SETTINGS = ("model", "instance_type", "instance_fallbacks")
HIDDEN_CHARACTERS = 6
"""Shortest value of another setting that is masked: `on` and numbers identify nobody."""
SETTLED = ("CREATE_COMPLETE", "UPDATE_COMPLETE")

Facts = dict[str, str]
Value = TypeVar("Value")


@dataclass(frozen=True)
class Generated:
    """Images of one request. `status`: of the first response, 200 with the images or 202 with a job."""

    images: list[bytes]
    warnings: list[str]
    timings: dict[str, float]
    seconds: float
    status: int

    def __str__(self) -> str:
        return f"{self.status} in {self.seconds:.1f} s"


@dataclass
class Run:
    """One run of `easel prove` in one account. Every method raises CommandError; those that wait also at the limit."""

    state: State
    folder: Path
    account: Account
    progress: Progress = field(default_factory=Progress)
    lock: int | None = None
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        self.meter = Meter(self.state)
        context = [*self.state.context, f"name={self.state.name}"]
        self.cdk = Cdk(ROOT, self.folder, self.state.region, context, self.lock)
        self._service: Service | None = None
        self._next_look, self.in_progress = 0.0, ""

    @property
    def secrets(self) -> list[str]:
        """What no record may show: the API's key, and settings such as a domain."""
        settings = dict(pair.split("=", 1) for pair in self.state.context)
        values = [part for key, text in settings.items() if key not in PUBLIC_SETTINGS for part in text.split(",")]
        hidden = [value for value in values if len(value) >= HIDDEN_CHARACTERS]
        return [*hidden, self._service.key] if self._service else hidden

    def save(self) -> None:
        self.meter.charge()
        self.state.save(self.folder)

    # --- the stacks ------------------------------------------------------------------------------

    def deploy(self, variant: str, each: Callable[[], None] = lambda: None) -> int:
        """Deploy a variant and return the exit status of the CDK. `each` is called in a loop meanwhile."""
        self._settle()
        self.meter.use(2 if self.state.deployed else 1)
        self.state.exists, self._service = True, None
        self.save()
        with self.progress.spinner("Deploying") as tick:

            def watch(event: str = "") -> None:
                self._tick(tick, event)
                self._look()
                each()

            status = self.cdk.deploy(variant, watch)
        if not status:
            self.state.deployed = variant
        self.meter.use(1)
        self.save()
        return status

    def _look(self) -> None:
        """Keep what `easel doctor` says about the running deploy, twice a minute until it names a resource."""
        if time.monotonic() < self._next_look or RESOURCE in self.in_progress:
            return
        self._next_look = time.monotonic() + LOOK_SECONDS
        with suppress(CommandError):
            finding = stacks.run(self.account)
            if finding and "_IN_PROGRESS" in finding.message:
                self.in_progress = finding.message

    def destroy(self) -> int:
        """Remove every stack, once CloudFormation has finished what it does. Return the number of attempts."""
        for attempt in range(1, DESTROY_ATTEMPTS + 1):
            self._settle()
            with self.progress.spinner("Removing everything") as tick:
                status = self.cdk.destroy(tick)
            if not status and not self.stack_statuses():
                self.state.deployed = ""
                self.meter.use(0)
                self.save()
                return attempt
        raise self.refusal("The deployment cannot be removed")

    def stack_statuses(self) -> dict[str, str]:
        """Return the status of each stack of this run."""
        with aws_errors():
            stacks = self.account.items("cloudformation", "describe_stacks", "Stacks")
            return {s["StackName"]: s["StackStatus"] for s in stacks if s["StackName"] in self.account.names.stacks}

    def refusal(self, what: str) -> CommandError:
        """Return the error of a failed CDK command, in AWS's own words if a stack has them."""
        statuses = {name: status for name, status in self.stack_statuses().items() if status not in SETTLED}
        reasons = [f"{name} is {status}: {first_failure(self.account, name)}" for name, status in statuses.items()]
        why = "\n".join(reasons) or self.cdk.last_words()
        where = f"{self.state.name} in {self.state.region}"
        fix = advice_for(why) or f"Read the logs in {self.folder / 'logs'}"
        return CommandError(what, where=where, why=why, fix=fix)

    def _settle(self) -> None:
        """Wait until CloudFormation has finished what it does: it refuses to change or delete a stack meanwhile."""
        self.wait("Waiting for CloudFormation", self._is_settled, SETTLE_MINUTES, limited=False)

    def _is_settled(self) -> bool:
        statuses = self.stack_statuses().values()
        return not any(status.endswith("_IN_PROGRESS") and status != NOT_CREATED for status in statuses)

    # --- the service -----------------------------------------------------------------------------

    @property
    def service(self) -> Service:
        """The deployed service."""
        if self._service is None:
            outputs = read_outputs(self.account)
            variables = api_variables(self.account, outputs)
            self._service = Service(variables["EASEL_URL"], variables["EASEL_KEY"], outputs.get("SiteUrl", ""))
        return self._service

    def generate(self, minutes: float = 10, **more: Any) -> Generated:
        """Generate images by POST /generate, and by the job where that responds 202."""
        began = time.monotonic()
        reply = self.service.call("POST", "/generate", {**REQUEST, **more}).expect(200, 202)
        if reply.status == 200 and (encoded := reply.json["generated_images"]):
            images, warnings = [base64.b64decode(image) for image in encoded], reply.json["warnings"]
            timings = reply.json["timings"]
        else:
            job = self.finish(reply.json["id"], minutes)
            images, warnings, timings = self.images(job), job.warnings, job.timings
        return Generated(images, warnings, timings, time.monotonic() - began, reply.status)

    def generate_each(self, minutes: float = 10, **more: Any) -> dict[str, Generated]:
        """Generate images with every model, by its id. The first is not named, as it is the default."""
        first, *others = self.state.models
        found = {first: self.generate(minutes, **more)}
        return found | {model: self.generate(minutes, model=model, **more) for model in others}

    def finish(self, id: str, minutes: float = 10, *, succeed: bool = True) -> JobState:
        """Return a job once it has ended. Raises CommandError: it did not succeed, unless it need not."""
        job = self.wait("Waiting for the image", lambda: self._ended(id), minutes)
        if succeed and job.status != "succeeded":
            code, why, hint = (job.error.code, job.error.message, job.error.hint) if job.error else (job.status, "", "")
            raise CommandError(
                f"The job ended with {code}", where=f"GET /jobs/{id}", why=why or job.message, fix=hint or REPORT
            )
        return job

    def keep(self, name: str, image: bytes) -> None:
        """Write an image beside the record, for the eye."""
        (self.folder / f"{name}.png").write_bytes(image)

    def images(self, job: JobState) -> list[bytes]:
        return [self.service.api.image(image.url, image.media_type) for image in job.images]

    def _ended(self, id: str) -> JobState | None:
        job = self.service.api.job(id)
        return job if job.ended else None

    # --- waiting ---------------------------------------------------------------------------------

    def wait(self, text: str, check: Callable[[], Value | None], minutes: float, *, limited: bool = True) -> Value:
        """Return the first true value of `check`. A lost network does not end the wait. `limited`: keep the limit."""
        end, lost = time.monotonic() + minutes * 60, 0
        with self.progress.spinner(text) as tick:
            while True:
                try:
                    if value := check():
                        return value
                    lost = 0
                except CommandError as error:
                    lost += 1
                    if error.code != ENVIRONMENT or lost > LOST_POLLS:
                        raise
                if time.monotonic() > end:
                    raise _timeout(text, minutes)
                self.sleep(POLL_SECONDS)
                self._tick(tick) if limited else tick()

    def _tick(self, tick: Tick, event: str = "") -> None:
        self.meter.check()
        tick(f", {self.state.usd:.2f} USD{event}")


def _timeout(text: str, minutes: float) -> CommandError:
    why, fix = f"nothing happened in {minutes:g} minutes; it usually is faster", "easel prove tries this step again"
    return CommandError("AWS takes too long", where=text, why=why, fix=fix)
