"""An endpoint: the fleet of one container that serves it, its states, and the exchange of fleets on an update."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .container import Container, Reply
from .service import Parameters, ServiceError

WORKER_DIED = '{"code": 500, "type": "InternalServerException", "message": "Worker died."}'
"""What the image's server answers when the process that holds the model dies (bench/results/serving_parity.json)."""
QUEUE_FULL = '{"code": 503, "type": "ServiceUnavailableException", "message": "No worker is available"}'
"""And what to a call beyond its queue."""


@dataclass
class Fleet:
    """What serves one endpoint configuration. `s3` and `sns` act with the model's execution role.

    `queue` calls wait beside the one that is answered; more are turned away. `failed` hears of each call that the
    container did not answer with 200: its status, or 0.
    """

    config: Parameters
    s3: Any
    sns: Any
    launch: Callable[[], Container]
    queue: int
    failed: Callable[[int], None]

    def __post_init__(self) -> None:
        self.container = self.launch()
        self.lock = threading.Lock()
        self.room = threading.BoundedSemaphore(1 + self.queue)
        self.instances: int = self.config["ProductionVariants"][0]["InitialInstanceCount"]

    def invoke(self, body: bytes, headers: dict[str, str], timeout: float) -> Reply:
        """One call at a time. A container that dies loses its call, and is started again for the next one."""
        try:
            return self._invoke(body, headers, timeout)
        except ServiceError as error:
            self.failed(error.members["OriginalStatusCode"])
            raise

    def _invoke(self, body: bytes, headers: dict[str, str], timeout: float) -> Reply:
        if not self.room.acquire(blocking=False):
            raise model_error(503, QUEUE_FULL)
        try:
            return self._answered(body, headers, timeout)
        finally:
            self.room.release()

    def _answered(self, body: bytes, headers: dict[str, str], timeout: float) -> Reply:
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
        return model_error(500, WORKER_DIED)

    def resize(self, instances: int) -> None:
        """Whatever their number, one container stands for all of them."""
        with self.lock:
            if not instances:
                self.container.stop()
            elif not self.instances:
                self.container = self.launch()
            self.instances = instances

    def stop(self) -> None:
        with self.lock:
            self.container.stop()


def model_error(status: int, message: str) -> ServiceError:
    side = "client" if 400 <= status < 500 else "server"
    text = f'Received {side} error ({status}) from primary with message "{message}".'
    return ServiceError("ModelError", text, OriginalStatusCode=status, OriginalMessage=message)


class Hold:
    """The test's hand: while a file of `folder` has the name of a state, endpoints stay in that state.

    Creating, Updating and Deleting last as long; the others befall an endpoint that would be InService.
    """

    BEFALLING = ("SystemUpdating", "RollingBack", "UpdateRollbackFailed", "OutOfService")

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def wait(self, status: str) -> None:
        while (self.folder / status).exists():
            time.sleep(0.05)

    @property
    def befalls(self) -> str:
        return next((status for status in self.BEFALLING if (self.folder / status).exists()), "")


MOVING = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
"""On the way to another state: SageMaker neither updates nor deletes an endpoint then."""


class Endpoint:
    """`bring_up` gives the healthy fleet of a configuration or raises why there is none."""

    def __init__(self, name: str, bring_up: Callable[[str], Fleet], hold: Hold) -> None:
        self.name, self.bring_up, self.hold = name, bring_up, hold
        self.fleet: Fleet | None = None
        self.own_status, self.failure = "Creating", ""
        self.created = self.modified = time.time()
        self.ended = False

    @property
    def status(self) -> str:
        return self.hold.befalls or "InService" if self.own_status == "InService" else self.own_status

    def deploy(self, config: str, watch: Callable[[], None] = lambda: None) -> None:
        """`watch` looks at the new fleet as long as the old one could come back, and raises why it should."""
        self._go("Updating" if self.fleet else "Creating", lambda: self._exchange(config, watch))

    def scale(self, instances: int) -> None:
        assert self.fleet
        fleet = self.fleet
        self._go("Updating", lambda: fleet.resize(instances))

    def delete(self, then: Callable[[], None]) -> None:
        self.own_status = "Deleting"

        def work() -> None:
            self.hold.wait("Deleting")
            self.end()
            then()

        threading.Thread(target=work, daemon=True).start()

    def end(self) -> None:
        self.ended = True
        if self.fleet:
            self.fleet.stop()

    def _go(self, status: str, work: Callable[[], None]) -> None:
        self.own_status, self.failure = status, ""
        threading.Thread(target=self._work, args=(status, work), daemon=True).start()

    def _work(self, status: str, work: Callable[[], None]) -> None:
        """A failed update keeps the old fleet, as the service does."""
        try:
            self.hold.wait(status)
            work()
        except Exception as error:  # whatever it was is DescribeEndpoint's FailureReason
            self.failure = str(error)
        self.modified = time.time()
        self.own_status = "InService" if self.fleet else "Failed"

    def _exchange(self, config: str, watch: Callable[[], None]) -> None:
        new = self.bring_up(config)
        old, self.fleet = self.fleet, new
        leaving = old
        try:
            if old:
                watch()
        except ServiceError:
            self.fleet, leaving = old, new
            raise
        finally:
            if leaving:
                leaving.stop()
            if self.ended:
                new.stop()
