"""The beginning of `easel prove`: agreement to the cost, the model, unfinished runs."""

from __future__ import annotations

import fcntl
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from easel.cloud.account import Account
from easel.cloud.prove import start
from easel.cloud.prove.state import FILE, State, load
from easel.console.errors import ENVIRONMENT, USAGE, CommandError
from stacks.config.names import DEFAULT, Names
from stacks.config.prices import USD_PER_HOUR
from tests.easel.cloud.fake_aws import ACCOUNT, REGION, FakeAws
from tests.easel.cloud.prove.fake_run import new_state

QUOTA = "ml.g4dn.xlarge for endpoint usage"


class RecordingRunner:
    """Takes the place of the runner, and keeps the state that it would work with."""

    states: list[State]
    cleaned: bool

    def __init__(self, run: Any) -> None:
        RecordingRunner.states.append(run.state)

    def prove(self) -> int:
        return 0

    def clean_up(self) -> None:
        RecordingRunner.cleaned = True


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> FakeAws:
    """An account without quotas for GPUs."""
    aws = FakeAws()
    aws.responses |= {
        "sts.GetCallerIdentity": {"Account": ACCOUNT, "Arn": f"arn:aws:iam::{ACCOUNT}:user/me"},
        "service-quotas.ListServiceQuotas": {"Quotas": []},
        "service-quotas.ListAWSDefaultServiceQuotas": {
            "Quotas": [{"QuotaName": QUOTA, "QuotaCode": "L-1", "Value": 0.0}]
        },
    }

    def open_account(region: str | None, names: Names = DEFAULT) -> Account:
        return Account(aws.session, region or REGION, names)

    RecordingRunner.states, RecordingRunner.cleaned = [], False
    monkeypatch.setattr(start, "open_account", open_account)
    monkeypatch.setattr(start, "Runner", RecordingRunner)
    return aws


def prove(
    folder: Path, *context: str, usd: float | None = 5.0, clean_up: bool = False, region: str | None = None
) -> int:
    return start.prove(context, region, usd, folder, clean_up)


def error_of(folder: Path, *context: str, **options: Any) -> CommandError:
    with pytest.raises(CommandError) as caught:
        prove(folder, *context, **options)
    return caught.value


def test_without_a_quota_for_gpus_the_embedded_model_runs_on_a_cpu(aws: FakeAws, tmp_path: Path) -> None:
    assert prove(tmp_path) == 0
    (state,) = RecordingRunner.states
    assert (state.context, state.model, state.limit_usd) == (["model=emoji"], "emoji", 5.0)
    assert state.instance_type.startswith("ml.m5.") or state.instance_type.startswith("ml.c")
    assert 0 < state.usd_per_hour < 0.3
    assert Names(state.name).stacks


def test_with_several_models_an_hour_costs_an_instance_of_each(aws: FakeAws, tmp_path: Path) -> None:
    settings = ("model=emoji,sd-1.5,sdxl-lcm", "instance_type=sdxl-lcm=ml.g5.xlarge")
    assert prove(tmp_path, *settings, usd=20.0) == 0
    (state,) = RecordingRunner.states
    assert state.models == ["emoji", "sd-1.5", "sdxl-lcm"]
    assert state.instance_type == "ml.m5.large, ml.g4dn.xlarge, ml.g5.xlarge"
    prices = [USD_PER_HOUR[name] for name in state.instance_type.split(", ")]
    assert state.usd_per_hour == pytest.approx(sum(prices))


def test_each_of_several_models_must_be_deployable(aws: FakeAws, tmp_path: Path) -> None:
    error = error_of(tmp_path, "model=emoji,gone")
    assert (error.code, "'gone'" in error.why) == (USAGE, True)


def test_with_a_quota_for_gpus_the_default_model_runs(aws: FakeAws, tmp_path: Path) -> None:
    aws.responses["service-quotas.ListServiceQuotas"] = {
        "Quotas": [{"QuotaName": QUOTA, "QuotaCode": "L-1", "Value": 2.0}]
    }
    prove(tmp_path)
    assert (RecordingRunner.states[0].context, RecordingRunner.states[0].model) == ([], "sd-1.5")


def test_nothing_is_deployed_without_an_agreed_limit(aws: FakeAws, tmp_path: Path) -> None:
    error = error_of(tmp_path, usd=None)
    assert (error.code, error.where) == (USAGE, "--usd")
    assert error.fix.startswith("easel prove --usd ")
    assert error_of(tmp_path, usd=0.1).code == USAGE
    assert error_of(tmp_path, usd=5000).code == USAGE
    assert (RecordingRunner.states, load(tmp_path)) == ([], None)


def test_on_a_terminal_the_user_agrees_to_a_limit(
    aws: FakeAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(typer, "prompt", lambda *_, **__: 3.0)
    assert prove(tmp_path, usd=None) == 0
    assert RecordingRunner.states[0].limit_usd == 3.0
    shown = capsys.readouterr().out
    for part in ("1234…9012", REGION, "USD an hour", "hours and costs about", RecordingRunner.states[0].name):
        assert part in shown


@pytest.mark.parametrize(
    "pair", ["name=easel", "mode=realtime", "removal=retain", "modell=x", "model=nothing", "instance_type=ml.x9.large"]
)
def test_a_setting_that_cannot_be_used_is_a_usage_error(aws: FakeAws, tmp_path: Path, pair: str) -> None:
    assert error_of(tmp_path, "model=emoji", pair).code == USAGE


def test_an_unfinished_run_goes_on_with_its_settings(aws: FakeAws, tmp_path: Path) -> None:
    prove(tmp_path)
    name = RecordingRunner.states[0].name
    prove(tmp_path, usd=9.0)
    assert (RecordingRunner.states[1].name, RecordingRunner.states[1].limit_usd) == (name, 9.0)
    prove(tmp_path, *RecordingRunner.states[0].context)
    assert RecordingRunner.states[2].name == name
    assert "--clean-up" in error_of(tmp_path, "model=sdxl").fix
    assert error_of(tmp_path, region="us-west-2").code == USAGE
    prove(tmp_path, clean_up=True)
    assert RecordingRunner.cleaned


def test_an_unfinished_run_of_another_account_is_left_alone(aws: FakeAws, tmp_path: Path) -> None:
    new_state(account="another").save(tmp_path)
    error = error_of(tmp_path)
    assert (error.code, "AWS_PROFILE" in error.fix) == (ENVIRONMENT, True)


def test_clean_up_without_a_run_does_nothing(aws: FakeAws, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prove(tmp_path, clean_up=True) == 0
    assert "Nothing to clean up" in capsys.readouterr().out
    assert aws.requests == []


def test_a_folder_takes_one_run_at_a_time(aws: FakeAws, tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert error_of(tmp_path).code == USAGE


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"name": 1', '{"outcomes": [], "more": 1}', '{"outcomes": [{"a": 1}]}']
)
def test_a_damaged_state_is_not_forgotten(aws: FakeAws, tmp_path: Path, text: str) -> None:
    """It may be all that knows of a deployment."""
    (tmp_path / FILE).write_text(text)
    error = error_of(tmp_path)
    assert (error.code, "easel leftovers" in error.fix) == (USAGE, True)
    assert (tmp_path / FILE).read_text() == text
