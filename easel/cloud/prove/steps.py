"""The steps of a run, in their order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from easel.cloud.prove.actions import account_steps, api_steps, endpoint_steps
from easel.cloud.prove.run import Facts, Run


@dataclass(frozen=True)
class Step:
    """One step. `variant` must be deployed before `action`. `minutes` is how long it usually takes on AWS.

    At most `instances` of each model are billed meanwhile.
    """

    code: str
    action: Callable[[Run], Facts]
    variant: str = ""
    minutes: float = 1
    instances: int = 0

    @property
    def summary(self) -> str:
        return (self.action.__doc__ or "").partition("\n")[0]


JOURNEY = (
    Step("doctor", account_steps.doctor),
    Step("bootstrap", account_steps.bootstrap),
    Step("deploy", account_steps.deploy, "async", 20, 1),
    Step("generate", api_steps.generate, "async", 2, 1),
    Step("jobs", api_steps.jobs, "async", 2, 1),
    Step("keys", api_steps.keys, "async", 2, 1),
    Step("image_to_image", api_steps.image_to_image, "async", 2, 1),
    Step("inspect", account_steps.inspect, "async", 1, 1),
    Step("page", api_steps.page, "async", 2, 1),
    Step("sleep", endpoint_steps.sleep, "async", 20, 1),
    Step("wake", endpoint_steps.wake, "async", 12, 1),
    Step("update", endpoint_steps.update, "changed", 15, 2),
    Step("realtime", endpoint_steps.realtime, "realtime", 20, 2),
    Step("crowd", endpoint_steps.crowd, "realtime", 2, 1),
    Step("rollback", endpoint_steps.rollback, "realtime", 30, 2),
    Step("pause", endpoint_steps.pause, "realtime", 5, 1),
    Step("resume", endpoint_steps.resume, "realtime", 12, 1),
)
CLEAN_UP = (
    Step("destroy", account_steps.destroy, "", 20, 1),
    Step("leftovers", account_steps.leftovers),
)
STEPS = (*JOURNEY, *CLEAN_UP)
