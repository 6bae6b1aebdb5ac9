"""The client for programs without asyncio."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self, Unpack

from easel.client.api import Api
from easel.client.errors import EaselError
from easel.client.requests import RequestFields, to_body
from easel.client.responses import Health, JobState, Model
from easel.client.results import Generation, JobView, Progress
from easel.client.steps import Execution, Steps
from easel.client.transport import Transport


class Easel:
    """A client of one Easel, on a laptop or deployed. Threads may share it.

    base_url: the base of the API's routes; default: EASEL_URL, or http://127.0.0.1:7860.
    api_key: default: EASEL_KEY. A laptop needs none.
    timeout: longest time in seconds for one response of the API (120), not for a job: for that, `generate` and `wait`
    have a timeout of their own.

    Every method raises `EaselError`. Requests that failed on their way or met a busy service are sent again; an
    idempotency key makes sure that this never creates a second job.
    """

    def __init__(
        self, base_url: str | None = None, api_key: str | None = None, *, timeout: float | None = None
    ) -> None:
        self._api = Api(base_url, api_key, timeout)
        self._transport = Transport()
        self.jobs = Jobs(self)

    @property
    def base_url(self) -> str:
        """The base of the API's routes, without a slash at its end."""
        return self._api.url

    def generate(
        self,
        prompt: str | Sequence[str],
        *,
        timeout: float | None = None,
        on_progress: Callable[[Progress], object] | None = None,
        idempotency_key: str | None = None,
        extra: Mapping[str, Any] | None = None,
        **fields: Unpack[RequestFields],
    ) -> Generation:
        """Generate images and wait for them.

        timeout: longest wait in seconds; then WaitTimeoutError, and the job goes on. None: no limit.
        on_progress: called with each event of `Job.progress`.
        Ctrl-C cancels the job. The other arguments are those of `jobs.create`.
        """
        job = self.jobs.create(prompt, idempotency_key=idempotency_key, extra=extra, **fields)
        try:
            for event in job.progress(timeout):
                if on_progress:
                    on_progress(event)
            return job.wait()
        except KeyboardInterrupt:
            with suppress(EaselError):  # it has ended, or the service is gone
                job.cancel()
            raise

    def models(self) -> list[Model]:
        """Return the models of the service: sizes, defaults, bounds, schedulers, features."""
        return self._transport.run(self._api.models())

    def health(self) -> Health:
        """Return whether a new job will run."""
        return self._transport.run(self._api.health())

    def close(self) -> None:
        """Close the connections. `with Easel() as easel:` does it at the end of the block."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Jobs:
    """The jobs of the caller: `Easel().jobs`."""

    def __init__(self, easel: Easel) -> None:
        self._easel, self._api = easel, easel._api

    def create(
        self,
        prompt: str | Sequence[str],
        *,
        idempotency_key: str | None = None,
        extra: Mapping[str, Any] | None = None,
        **fields: Unpack[RequestFields],
    ) -> Job:
        """Create a job without waiting for it.

        prompt: one prompt, or up to 8. fields: see `RequestFields`; the API checks them.
        idempotency_key: the same key with the same request is the same job, also in another process. Default: a new
        key for each call. extra: fields of a newer API than this client.
        """
        return self._job(self._api.submit(to_body(prompt, fields, extra), idempotency_key))

    def get(self, id: str) -> Job:
        """Return a job."""
        return self._job(self._api.job(id))

    def list(self, limit: int | None = None) -> list[Job]:
        """Return the newest jobs, newest first. `limit`: their largest number."""
        return [Job(self._easel, state) for state in self._easel._transport.run(self._api.recent(limit))]

    def cancel(self, id: str) -> Job:
        """Cancel a job. Raises ConflictError if it has ended, or runs where that cannot be stopped."""
        return self._job(self._api.cancel(id))

    def wait(self, id: str, timeout: float | None = None) -> Generation:
        """Wait for a job and return its images. Raises JobError, and WaitTimeoutError after `timeout` seconds."""
        return self.get(id).wait(timeout)

    def _job(self, steps: Steps[JobState]) -> Job:
        return Job(self._easel, self._easel._transport.run(steps))


class Job(JobView):
    """A job, as of its last `refresh`, `progress`, `wait` or `cancel`."""

    def __init__(self, easel: Easel, state: JobState) -> None:
        super().__init__(state)
        self._easel, self._api = easel, easel._api

    def refresh(self) -> Self:
        """Get the present state from the service."""
        self._state = self._easel._transport.run(self._api.job(self.id))
        return self

    def progress(self, timeout: float | None = None) -> Iterator[Progress]:
        """Yield the state of the job now and after each change until it has ended: steps, and previews if any.

        Raises WaitTimeoutError after `timeout` seconds.
        """
        execution, last = Execution(self._api.watch(self._state, timeout)), None
        while not execution.done:
            if isinstance(execution.step, Progress) and execution.step != last:
                yield (last := execution.step)
            self._easel._transport.perform(execution)
        self._state = execution.result

    def wait(self, timeout: float | None = None) -> Generation:
        """Wait for the job and return its images. Raises JobError, and WaitTimeoutError after `timeout` seconds."""
        self._state = self._easel._transport.run(self._api.watch(self._state, timeout))
        return self._easel._transport.run(self._api.result(self._state))

    def cancel(self) -> Self:
        """Cancel the job. Raises ConflictError if it has ended, or runs where that cannot be stopped."""
        self._state = self._easel._transport.run(self._api.cancel(self.id))
        return self
