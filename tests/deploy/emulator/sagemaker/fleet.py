"""Fleet of one container that serves an endpoint configuration."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..aws_api.service import Parameters, ServiceError
from .container import Container, ContainerResponse

WORKER_DIED = '{"code": 500, "type": "InternalServerException", "message": "Worker died."}'
"""Response of the image's server when the model's process dies (bench/results/serving_parity.json)."""
QUEUE_FULL = '{"code": 503, "type": "ServiceUnavailableException", "message": "No worker is available"}'
"""Response of the image's server to a request beyond its queue."""


@dataclass
class Fleet:
    """What serves one endpoint configuration. `s3` and `sns` use the model's execution role.

    `queue_size` requests wait beside the running one, more are refused. `on_failure` receives the status of each
    request that did not get 200; 0 for a timeout.
    """

    config: Parameters
    s3: Any
    sns: Any
    start_container: Callable[[], Container]
    queue_size: int
    on_failure: Callable[[int], None]

    def __post_init__(self) -> None:
        self.container = self.start_container()
        self.lock = threading.Lock()
        self.queue_slots = threading.BoundedSemaphore(1 + self.queue_size)
        self.instances: int = self.config["ProductionVariants"][0]["InitialInstanceCount"]

    def invoke(self, body: bytes, headers: dict[str, str], timeout: float) -> ContainerResponse:
        """Run one request at a time. A container that dies loses its request and restarts for the next.

        Raises ServiceError for any response but 200.
        """
        try:
            return self._invoke(body, headers, timeout)
        except ServiceError as error:
            self.on_failure(error.members["OriginalStatusCode"])
            raise

    def _invoke(self, body: bytes, headers: dict[str, str], timeout: float) -> ContainerResponse:
        if not self.queue_slots.acquire(blocking=False):
            raise model_error(503, QUEUE_FULL)
        try:
            return self._run(body, headers, timeout)
        finally:
            self.queue_slots.release()

    def _run(self, body: bytes, headers: dict[str, str], timeout: float) -> ContainerResponse:
        with self.lock:
            if not self.container.alive:
                self.container = self.start_container()
            try:
                response = self.container.invoke(body, headers, timeout)
            except OSError as error:
                raise self._container_error(error) from error
        if response.status != 200:
            raise model_error(response.status, response.body.decode(errors="replace"))
        return response

    def _container_error(self, error: OSError) -> ServiceError:
        if isinstance(error, TimeoutError):
            return model_error(0, "Your invocation timed out while waiting for a response from container primary.")
        self.container.stop()
        return model_error(500, WORKER_DIED)

    def resize(self, instances: int) -> None:
        """Set the number of instances. One container stands for all of them."""
        with self.lock:
            if not instances:
                self.container.stop()
            elif not self.instances:
                self.container = self.start_container()
            self.instances = instances

    def stop(self) -> None:
        with self.lock:
            self.container.stop()


def model_error(status: int, message: str) -> ServiceError:
    side = "client" if 400 <= status < 500 else "server"
    text = f'Received {side} error ({status}) from primary with message "{message}".'
    return ServiceError("ModelError", text, OriginalStatusCode=status, OriginalMessage=message)
