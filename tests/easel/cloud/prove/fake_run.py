"""A run of `easel prove` whose CDK and actions are fakes: what it deploys is in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from easel.cloud.account import Account
from easel.cloud.leftovers.scan import Leftover, Scan
from easel.cloud.prove.run import Facts, Run
from easel.cloud.prove.runner import Runner
from easel.cloud.prove.state import State, load
from easel.cloud.prove.steps import JOURNEY, STEPS
from stacks.config.names import Names
from tests.easel.cloud.fake_aws import REGION, FakeAws
from tests.easel.cloud.fake_deployment import stack

NAME = Names("easel-prove-test")
AWS = FakeAws()
"""Shared: creating boto3's clients takes longer than the tests."""
ACCOUNT = AWS.account()


class FakeCloud:
    """An account, and the CDK that deploys into it. `deployed` is the variant; `states` of the stack come first."""

    def __init__(self) -> None:
        self.deployed, self.states = "", list[str]()
        self.commands: list[str] = []
        self.during_deploy: Callable[[], None] = lambda: None
        self.failing_destroys = 0
        self.status = 0

    def account(self) -> Account:
        AWS.responses["cloudformation.DescribeStacks"] = self._stacks
        ACCOUNT.names = NAME
        return ACCOUNT

    def _stacks(self, _: Any) -> dict[str, Any]:
        status = self.states.pop(0) if self.states else "CREATE_COMPLETE"
        return {"Stacks": [stack(status, NAME.model), stack(status, "SomebodyElse")] if self.deployed else []}

    def deploy(self, variant: str, tick: Callable[[], None]) -> int:
        self.commands.append(f"deploy {variant}")
        self.deployed = variant
        tick()
        self.during_deploy()
        return self.status

    def destroy(self, tick: Callable[[], None]) -> int:
        tick()
        self.commands.append("destroy")
        if self.failing_destroys:
            self.failing_destroys -= 1
            return 1
        self.deployed = ""
        return 0

    def last_words(self) -> str:
        return "the CDK's last words"

    def scan(self, *_: Any) -> Scan:
        left = Leftover(
            code="stack", region=REGION, type="AWS::CloudFormation::Stack", name=NAME.model, usd_per_month=1.0,
            note="", remove="",
        )  # fmt: skip
        return Scan([left] if self.deployed else [])


def new_state(**values: Any) -> State:
    fields = {
        "name": NAME.name, "region": REGION, "account": "0" * 16, "context": ["model=emoji"], "limit_usd": 5.0,
        "usd_per_hour": 0.1, "model": "emoji", "instance_type": "ml.m5.large",
    }  # fmt: skip
    return State(**{**fields, **values})


def fake_runner(cloud: FakeCloud, folder: Path, stop_at: str = "", error: BaseException | None = None) -> Runner:
    """Return the runner of the unfinished run in `folder`, or of a new run. Its action `stop_at` raises `error`."""
    run = Run(load(folder) or new_state(), folder, cloud.account(), sleep=lambda _: None)
    run.cdk = cloud  # type: ignore[assignment]

    def act(code: str) -> Callable[[Run], Facts]:
        def action(_: Run) -> Facts:
            cloud.commands.append(code)
            if code == stop_at and error:
                raise error
            return {"seen": f"fact of {code}"}

        return action

    journey = [replace(step, action=act(step.code)) for step in JOURNEY]
    return Runner(run, journey)


CODES = [step.code for step in STEPS]
