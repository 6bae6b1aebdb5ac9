"""What a run costs: instances by the second at the price of `stacks/config/prices.json`, and its limit.

AWS reports costs a day later. Requests, storage, logs and CloudFront are cents and not counted.
"""

from __future__ import annotations

import time

from easel.cloud.prove.state import State
from easel.console.errors import USAGE, CommandError
from stacks.config.prices import USD_PER_HOUR

CLEAN_UP_MINUTES = 15
"""Kept from the limit: an instance runs while the clean-up waits for it."""
LIMITS_USD = (0.1, 1000.0)


def price_of(instance_type: str) -> float:
    """Return USD of an hour. Raises CommandError: it is unknown, so a limit could not be kept."""
    if usd := USD_PER_HOUR.get(instance_type):
        return usd
    raise CommandError(
        "The price of the instance type is unknown",
        where="-c instance_type",
        why=f"the table of prices has no {instance_type or 'instance type for this model'}, so no limit can be kept",
        fix=f"Use one of these: {', '.join(USD_PER_HOUR)}",
        code=USAGE,
    )


class Meter:
    """Counts the cost of a run, and stops the run at its limit."""

    def __init__(self, state: State) -> None:
        self._state = state

    def charge(self) -> None:
        """Add the cost since the last call. After a crash this includes the time in between."""
        state, now = self._state, time.time()
        seconds = max(0.0, now - state.charged_at) if state.instances else 0.0
        state.usd += seconds / 3600 * state.instances * state.usd_per_hour
        state.charged_at = now

    def use(self, instances: int) -> None:
        """Count this many instances of each model from now on."""
        self.charge()
        self._state.instances = instances

    def check(self, minutes: float = 0, instances: int = 0) -> None:
        """Check that `instances` of each model may run for some more minutes.

        Raises CommandError: that is not within the limit.
        """
        self.charge()
        state = self._state
        needed = (minutes * instances + CLEAN_UP_MINUTES) / 60 * state.usd_per_hour
        if state.usd + needed > state.limit_usd:
            raise CommandError(
                "The limit would be exceeded",
                where=f"--usd {state.limit_usd:g}",
                why=f"about {state.usd:.2f} USD are spent, and going on may cost {needed:.2f} USD more",
                fix=f"easel prove --usd {state.usd + needed + 1:.0f} goes on",
            )
