"""SageMaker endpoints: asynchronous, and real-time behind the runner function."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import Any, NoReturn

from aws.clients import create_client
from aws.errors import client_config, error_of, is_validation_error, translated
from aws.store import BucketStore
from contract import DEADLINE_MS, EaselError, render_attributes
from jobs.ports import EndpointState, Submission, Ticket

CALL_SECONDS = DEADLINE_MS.maximum // 1000 + 60
"""Time that SageMaker gives the container for a job: the longest deadline, and a minute to encode the images."""
_SUBMIT_SECONDS = 10
_REALTIME_SECONDS = 65
"""Read timeout. SageMaker limits a real-time call to 60 s."""
_TTL_SECONDS = (60, 21_600)
"""Range of RequestTTLSeconds."""
_STATE_SECONDS = 5
"""Time for which a DescribeEndpoint response is cached."""
_WAKE_MINUTES = (4, 10)
"""Time from no instance to the first image: two alarm periods of a minute, the instance, the image, the weights."""


class EndpointWatcher:
    """The state of an endpoint, from DescribeEndpoint, cached for some seconds."""

    def __init__(self, name: str, now: Callable[[], float] = time.monotonic) -> None:
        self._name, self._now = name, now
        self._cached: tuple[float, EndpointState] | None = None

    @cached_property
    def _sagemaker(self) -> Any:
        return create_client("sagemaker", client_config(3))

    def state(self) -> EndpointState:
        """Return the state. Raises EaselError if SageMaker cannot be asked."""
        if self._cached is None or self._now() - self._cached[0] > _STATE_SECONDS:
            self._cached = (self._now(), self._describe())
        return self._cached[1]

    def _describe(self) -> EndpointState:
        try:
            with translated():
                endpoint = self._sagemaker.describe_endpoint(EndpointName=self._name)
        except EaselError as error:
            if error.code == "endpoint_missing":
                return EndpointState(
                    "broken", "The model's endpoint does not exist: it is paused or was never deployed."
                )
            raise
        instances = sum(variant.get("CurrentInstanceCount", 0) for variant in endpoint.get("ProductionVariants", ()))
        return _state(endpoint["EndpointStatus"], instances)


def _state(status: str, instances: int) -> EndpointState:
    if status in ("InService", "Updating", "SystemUpdating", "RollingBack"):
        if instances:
            return EndpointState("ready", f"The endpoint is {status}.")
        return EndpointState("asleep", "No instance is running; the next job starts one.", _WAKE_MINUTES)
    if status == "Creating":
        return EndpointState("starting", "The endpoint is being created.", _WAKE_MINUTES)
    return EndpointState("broken", f"The endpoint is {status}.")


class AsyncEndpoint:
    """Implements `jobs.ports.Endpoint` by asynchronous inference: SageMaker queues jobs and starts instances.

    `model`: id of the model that it should serve. `ttl_s`: lifetime of a job. A call expires in SageMaker's queue early
    enough to end within it.
    """

    reports_start = False
    has_previews = False
    stops_jobs = False

    def __init__(self, name: str, model: str, store: BucketStore, ttl_s: float) -> None:
        self._name, self._model, self._store, self._watcher = name, model, store, EndpointWatcher(name)
        low, high = _TTL_SECONDS
        self._queue_s = int(max(low, min(high, ttl_s - CALL_SECONDS)))

    @cached_property
    def _runtime(self) -> Any:
        return create_client("sagemaker-runtime", client_config(_SUBMIT_SECONDS))

    def submit(self, ticket: Ticket) -> Submission:
        try:
            with translated():
                response = self._runtime.invoke_endpoint_async(
                    EndpointName=self._name,
                    ContentType="application/json",
                    Accept="application/json",
                    CustomAttributes=render_attributes(self._model),
                    InferenceId=ticket.inference_id,
                    InputLocation=self._store.uri_of(ticket.key("request.json")),
                    InvocationTimeoutSeconds=CALL_SECONDS,
                    RequestTTLSeconds=self._queue_s,
                )
        except EaselError as error:
            _raise_with_state(error, self._watcher)
        return Submission(self._key(response.get("OutputLocation")), self._key(response.get("FailureLocation")))

    def progress(self, ticket: Ticket) -> None:
        """Return None: SageMaker does not report progress."""

    def stop(self, ticket: Ticket) -> None:
        """Do nothing: SageMaker stops no call."""

    def state(self) -> EndpointState:
        return self._watcher.state()

    def _key(self, uri: str | None) -> str | None:
        return self._store.key_of(uri) if uri else None


class RealtimeEndpoint:
    """Implements `jobs.ports.Endpoint` by the runner function, which can wait longer than an API request."""

    reports_start = True
    has_previews = False
    stops_jobs = False

    def __init__(self, name: str, runner: str) -> None:
        self._runner, self._watcher = runner, EndpointWatcher(name)

    @cached_property
    def _lambda(self) -> Any:
        return create_client("lambda", client_config(5))

    def submit(self, ticket: Ticket) -> Submission:
        event = json.dumps({"owner": ticket.owner, "id": ticket.id}).encode()
        with translated():
            self._lambda.invoke(FunctionName=self._runner, InvocationType="Event", Payload=event)
        return Submission()

    def progress(self, ticket: Ticket) -> None:
        """Return None: SageMaker does not report progress."""

    def stop(self, ticket: Ticket) -> None:
        """Do nothing: SageMaker stops no call."""

    def state(self) -> EndpointState:
        return self._watcher.state()


class RealtimePredictor:
    """Implements `jobs.ports.Predictor` by real-time inference. `model`: id of the model that it should serve."""

    def __init__(self, name: str, model: str) -> None:
        self._name, self._model, self._watcher = name, model, EndpointWatcher(name)

    @cached_property
    def _runtime(self) -> Any:
        return create_client("sagemaker-runtime", client_config(_REALTIME_SECONDS))

    def predict(self, ticket: Ticket, body: bytes) -> bytes:
        try:
            with translated():
                response = self._runtime.invoke_endpoint(
                    EndpointName=self._name,
                    ContentType="application/json",
                    Accept="application/json",
                    CustomAttributes=render_attributes(self._model),
                    InferenceId=ticket.inference_id,
                    Body=body,
                )
        except EaselError as error:
            _raise_with_state(error, self._watcher)
        return _read_body(response)


def _read_body(response: Any) -> bytes:
    """Read the body, which is still being sent. Any error, also a timeout, means that it was cut off."""
    try:
        with translated():
            body: bytes = response["Body"].read()
            return body
    except EaselError:
        raise error_of("upstream_truncated") from None


def _raise_with_state(error: EaselError, watcher: EndpointWatcher) -> NoReturn:
    """Raise the error, or the endpoint's state if that is why SageMaker rejected the call."""
    cause = error.__cause__
    if is_validation_error(cause):
        with suppress(EaselError):
            state = watcher.state()
            if error.code == "config_error" and state.status in ("starting", "broken"):
                error = EaselError("upstream_unavailable", state.detail)
    raise error from cause
