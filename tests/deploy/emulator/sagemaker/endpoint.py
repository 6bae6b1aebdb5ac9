"""Endpoint: its states, and the replacement of its fleet on an update."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from ..aws_api.service import ServiceError
from .fleet import Fleet


class StateHold:
    """Lets a test hold endpoints in a state, as long as a file of `folder` has the state's name.

    Creating, Updating and Deleting last as long as the file. The other states replace InService.
    """

    FORCED_STATES = ("SystemUpdating", "RollingBack", "UpdateRollbackFailed", "OutOfService")

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def wait(self, status: str) -> None:
        while (self.folder / status).exists():
            time.sleep(0.05)

    @property
    def forced_state(self) -> str:
        return next((status for status in self.FORCED_STATES if (self.folder / status).exists()), "")


IN_PROGRESS = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
"""States in which SageMaker neither updates nor deletes an endpoint."""


class Endpoint:
    """An endpoint. `start_fleet` returns the healthy fleet of a configuration or raises the reason of the failure."""

    def __init__(self, name: str, start_fleet: Callable[[str], Fleet], hold: StateHold) -> None:
        self.name, self.start_fleet, self.hold = name, start_fleet, hold
        self.fleet: Fleet | None = None
        self.own_status, self.failure = "Creating", ""
        self.created = self.modified = time.time()
        self.stopped = False

    @property
    def status(self) -> str:
        return self.hold.forced_state or "InService" if self.own_status == "InService" else self.own_status

    def deploy(self, config: str, watch: Callable[[], None] = lambda: None) -> None:
        """Start the fleet of `config` in the background. `watch` observes it and raises to restore the old fleet."""
        self._start_transition("Updating" if self.fleet else "Creating", lambda: self._replace_fleet(config, watch))

    def scale(self, instances: int) -> None:
        assert self.fleet
        fleet = self.fleet
        self._start_transition("Updating", lambda: fleet.resize(instances))

    def delete(self, on_deleted: Callable[[], None]) -> None:
        self.own_status = "Deleting"

        def run() -> None:
            self.hold.wait("Deleting")
            self.stop()
            on_deleted()

        threading.Thread(target=run, daemon=True).start()

    def stop(self) -> None:
        self.stopped = True
        if self.fleet:
            self.fleet.stop()

    def _start_transition(self, status: str, action: Callable[[], None]) -> None:
        self.own_status, self.failure = status, ""
        threading.Thread(target=self._run_transition, args=(status, action), daemon=True).start()

    def _run_transition(self, status: str, action: Callable[[], None]) -> None:
        """Run `action`. A failed update keeps the old fleet, as SageMaker does."""
        try:
            self.hold.wait(status)
            action()
        except Exception as error:  # any error is DescribeEndpoint's FailureReason
            self.failure = str(error)
        self.modified = time.time()
        self.own_status = "InService" if self.fleet else "Failed"

    def _replace_fleet(self, config: str, watch: Callable[[], None]) -> None:
        new = self.start_fleet(config)
        old, self.fleet = self.fleet, new
        unused = old
        try:
            if old:
                watch()
        except ServiceError:
            self.fleet, unused = old, new
            raise
        finally:
            if unused:
                unused.stop()
            if self.stopped:
                new.stop()
