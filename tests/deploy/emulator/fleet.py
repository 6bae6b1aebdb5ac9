"""An endpoint: the fleet of one container that serves it, and the exchange of fleets on an update."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .container import Container, Reply
from .service import Parameters, ServiceError

WORKER_DIED = '{"code": 507, "type": "InternalServerException", "message": "Worker died."}'
"""What the serving toolkit in the image answers when the process that holds the model dies."""


@dataclass
class Fleet:
    """What serves one endpoint configuration. `s3` and `sns` act with the model's execution role."""

    config: Parameters
    s3: Any
    sns: Any
    launch: Callable[[], Container]

    def __post_init__(self) -> None:
        self.container = self.launch()
        self.lock = threading.Lock()

    def invoke(self, body: bytes, headers: dict[str, str], timeout: float) -> Reply:
        """One call at a time. A container that dies loses its call, and is started again for the next one."""
        with self.lock:
            if not self.container.alive:
                self.container = self.launch()
            try:
                reply = self.container.invoke(body, headers, timeout)
            except OSError as error:
                raise self._lost(error) from error
        if reply.status != 200:
            raise model_error(reply.status, reply.body.decode(errors="replace"))
        return reply

    def _lost(self, error: OSError) -> ServiceError:
        if isinstance(error, TimeoutError):
            return model_error(0, "Your invocation timed out while waiting for a response from container primary.")
        self.container.stop()
        return model_error(507, WORKER_DIED)

    def stop(self) -> None:
        with self.lock:
            self.container.stop()


def model_error(status: int, message: str) -> ServiceError:
    side = "client" if 400 <= status < 500 else "server"
    text = f'Received {side} error ({status}) from primary with message "{message}".'
    return ServiceError("ModelError", text, OriginalStatusCode=status, OriginalMessage=message)


class Endpoint:
    """`bring_up` gives the healthy fleet of a configuration or raises why there is none."""

    def __init__(self, name: str, bring_up: Callable[[str], Fleet]) -> None:
        self.name, self.bring_up = name, bring_up
        self.fleet: Fleet | None = None
        self.status, self.failure = "Creating", ""
        self.created = self.modified = time.time()
        self.deleted = False

    def deploy(self, config: str) -> None:
        self.status, self.failure = "Updating" if self.fleet else "Creating", ""
        threading.Thread(target=self._exchange, args=(config,), daemon=True).start()

    def _exchange(self, config: str) -> None:
        """A failed update keeps the old fleet, as the service does."""
        try:
            fleet = self.bring_up(config)
        except Exception as error:  # whatever it was is DescribeEndpoint's FailureReason
            self.failure = str(error)
            self.status = "InService" if self.fleet else "Failed"
        else:
            old, self.fleet = self.fleet, fleet
            self.status = "InService"
            if old:
                old.stop()
            if self.deleted:
                fleet.stop()
        self.modified = time.time()

    def delete(self) -> None:
        self.deleted = True
        if self.fleet:
            self.fleet.stop()
