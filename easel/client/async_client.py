"""The client for programs with asyncio. Its methods are those of the other one, with `await`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self, Unpack

from easel.client.api import Api
from easel.client.errors import EaselError
from easel.client.requests import RequestFields, to_body
from easel.client.responses import Health, JobState, Model
from easel.client.results import Generation, JobView, Progress
from easel.client.steps import Execution, Steps
from easel.client.transport import AsyncTransport


class AsyncEasel:
    """A client of one Easel for asyncio. Arguments and errors are those of `Easel`. Use it in one event loop."""

    def __init__(
        self, base_url: str | None = None, api_key: str | None = None, *, timeout: float | None = None
    ) -> None:
        self._api = Api(base_url, api_key, timeout)
        self._transport = AsyncTransport()
        self._cancellations: set[asyncio.Future[None]] = set()
        self.jobs = AsyncJobs(self)

    @property
    def base_url(self) -> str:
        """The base of the API's routes, without a slash at its end."""
        return self._api.url

    async def generate(
        self,
        prompt: str | Sequence[str],
        *,
        timeout: float | None = None,
        on_progress: Callable[[Progress], object] | None = None,
        idempotency_key: str | None = None,
        extra: Mapping[str, Any] | None = None,
        **fields: Unpack[RequestFields],
    ) -> Generation:
        """Generate images and wait for them, as `Easel.generate` does. Cancelling the task cancels the job."""
        create = self.jobs.create(prompt, idempotency_key=idempotency_key, extra=extra, **fields)
        creation = asyncio.ensure_future(create)
        try:
            job = await asyncio.shield(creation)  # a request that is cut off may still create a job
            async for event in job.progress(timeout):
                if on_progress:
                    on_progress(event)
            return await job.wait()
        except asyncio.CancelledError:
            cancellation = asyncio.ensure_future(_cancel(creation))
            self._cancellations.add(cancellation)
            cancellation.add_done_callback(self._cancellations.discard)
            await asyncio.shield(cancellation)  # whoever cancelled the task may cancel this wait, too
            raise

    async def models(self) -> list[Model]:
        """Return the models of the service: sizes, defaults, bounds, schedulers, features."""
        return await self._transport.run(self._api.models())

    async def health(self) -> Health:
        """Return whether a new job will run."""
        return await self._transport.run(self._api.health())

    async def close(self) -> None:
        """Close the connections. `async with AsyncEasel() as easel:` does it at the end of the block."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncJobs:
    """The jobs of the caller: `AsyncEasel().jobs`."""

    def __init__(self, easel: AsyncEasel) -> None:
        self._easel, self._api = easel, easel._api

    async def create(
        self,
        prompt: str | Sequence[str],
        *,
        idempotency_key: str | None = None,
        extra: Mapping[str, Any] | None = None,
        **fields: Unpack[RequestFields],
    ) -> AsyncJob:
        """Create a job without waiting for it, as `Jobs.create` does."""
        return await self._job(self._api.submit(to_body(prompt, fields, extra), idempotency_key))

    async def get(self, id: str) -> AsyncJob:
        """Return a job."""
        return await self._job(self._api.job(id))

    async def list(self, limit: int | None = None) -> list[AsyncJob]:
        """Return the newest jobs, newest first. `limit`: their largest number."""
        return [AsyncJob(self._easel, state) for state in await self._easel._transport.run(self._api.recent(limit))]

    async def cancel(self, id: str) -> AsyncJob:
        """Cancel a job. Raises ConflictError if it has ended, or runs where that cannot be stopped."""
        return await self._job(self._api.cancel(id))

    async def wait(self, id: str, timeout: float | None = None) -> Generation:
        """Wait for a job and return its images. Raises JobError, and WaitTimeoutError after `timeout` seconds."""
        return await (await self.get(id)).wait(timeout)

    async def _job(self, steps: Steps[JobState]) -> AsyncJob:
        return AsyncJob(self._easel, await self._easel._transport.run(steps))


class AsyncJob(JobView):
    """A job, as of its last `refresh`, `progress`, `wait` or `cancel`."""

    def __init__(self, easel: AsyncEasel, state: JobState) -> None:
        super().__init__(state)
        self._easel, self._api = easel, easel._api

    async def refresh(self) -> Self:
        """Get the present state from the service."""
        self._state = await self._easel._transport.run(self._api.job(self.id))
        return self

    async def progress(self, timeout: float | None = None) -> AsyncIterator[Progress]:
        """Yield the state of the job now and after each change until it has ended: steps, and previews if any.

        Raises WaitTimeoutError after `timeout` seconds.
        """
        execution, last = Execution(self._api.watch(self._state, timeout)), None
        while not execution.done:
            if isinstance(execution.step, Progress) and execution.step != last:
                yield (last := execution.step)
            await self._easel._transport.perform(execution)
        self._state = execution.result

    async def wait(self, timeout: float | None = None) -> Generation:
        """Wait for the job and return its images. Raises JobError, and WaitTimeoutError after `timeout` seconds."""
        self._state = await self._easel._transport.run(self._api.watch(self._state, timeout))
        return await self._easel._transport.run(self._api.result(self._state))

    async def cancel(self) -> Self:
        """Cancel the job. Raises ConflictError if it has ended, or runs where that cannot be stopped."""
        self._state = await self._easel._transport.run(self._api.cancel(self.id))
        return self


async def _cancel(creation: asyncio.Future[AsyncJob]) -> None:
    with suppress(EaselError):  # it has ended, or the service is gone
        await (await creation).cancel()
