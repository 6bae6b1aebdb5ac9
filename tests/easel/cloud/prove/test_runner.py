"""`easel prove` stopped at each of its steps: nothing is left, and the next run goes on there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from easel.cloud.prove import runner
from easel.cloud.prove.actions import account_steps
from easel.cloud.prove.cost import CLEAN_UP_MINUTES
from easel.cloud.prove.state import load
from easel.cloud.prove.steps import CLEAN_UP, JOURNEY
from easel.console.errors import ENVIRONMENT, OUTPUT, CommandError
from easel.console.interrupts import Interrupted
from tests.easel.cloud.prove.fake_run import CODES, NAME, FakeCloud, fake_runner

JOURNEY_CODES = [step.code for step in JOURNEY]


def refusal() -> CommandError:
    return CommandError("It failed", where="AWS", why="AWS's own words", fix="what to do")


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> FakeCloud:
    cloud = FakeCloud()
    monkeypatch.setattr(account_steps, "scan", cloud.scan)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # takes longer than the tests
    monkeypatch.setattr(runner.Runner, "_diagnose", lambda _: ["easel doctor: stacks: EaselProveTestModel failed"])
    return cloud


def record_of(folder: Path) -> str:
    return (folder / f"record-{NAME.name}.md").read_text(encoding="utf-8")


def test_every_step_is_performed_once_and_everything_is_removed(cloud: FakeCloud, tmp_path: Path) -> None:
    assert fake_runner(cloud, tmp_path).prove() == 0
    deploys = ["deploy async", "deploy changed", "deploy realtime"]
    assert [each for each in cloud.commands if each not in deploys] == [*JOURNEY_CODES, "destroy"]
    assert [each for each in cloud.commands if each in deploys] == deploys
    assert (cloud.deployed, load(tmp_path)) == ("", None)
    assert "Every step passed, and nothing is left." in record_of(tmp_path)


@pytest.mark.parametrize(
    ("step", "kind"),
    [*((step, kind) for step in JOURNEY_CODES for kind in ("failure", "signal")), ("jobs", "fault")],
)
def test_stopped_at_a_step_it_leaves_nothing_and_goes_on_there(
    cloud: FakeCloud, tmp_path: Path, step: str, kind: str
) -> None:
    error = {"failure": refusal(), "signal": Interrupted(2), "fault": KeyError("id")}[kind]
    stopped = fake_runner(cloud, tmp_path, step, error)
    if kind == "failure":
        assert stopped.prove() == 1
        assert "AWS's own words" in record_of(tmp_path)
    else:
        with pytest.raises(type(error)):
            stopped.prove()
    state = load(tmp_path)
    assert state
    assert (cloud.deployed, state.exists, state.instances) == ("", False, 0)
    assert f"stopped at the step `{step}`" in record_of(tmp_path)
    cloud.commands.clear()
    assert fake_runner(cloud, tmp_path).prove() == 0
    assert [each for each in cloud.commands if each in JOURNEY_CODES] == JOURNEY_CODES[JOURNEY_CODES.index(step) :]
    assert (cloud.deployed, load(tmp_path)) == ("", None)


@pytest.mark.parametrize("variant", ["async", "changed", "realtime"])
def test_stopped_during_a_deploy_it_waits_for_cloudformation_and_leaves_nothing(
    cloud: FakeCloud, tmp_path: Path, variant: str
) -> None:
    def interrupt() -> None:
        if cloud.deployed == variant:
            cloud.states = ["CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE"]
            raise Interrupted(2)

    cloud.during_deploy = interrupt
    with pytest.raises(Interrupted):
        fake_runner(cloud, tmp_path).prove()
    assert (cloud.deployed, cloud.states) == ("", [])
    cloud.during_deploy = lambda: None
    assert fake_runner(cloud, tmp_path).prove() == 0


@pytest.mark.parametrize("step", [step.code for step in CLEAN_UP])
def test_a_stopped_clean_up_names_the_command_that_finishes_it(
    cloud: FakeCloud, tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        if step == "destroy":
            patch.setattr(cloud, "destroy", lambda _: (_ for _ in ()).throw(Interrupted(2)))
        else:
            patch.setattr(account_steps, "scan", lambda *_: (_ for _ in ()).throw(Interrupted(2)))
        with pytest.raises(Interrupted):
            fake_runner(cloud, tmp_path).prove()
    assert "easel prove --clean-up" in capsys.readouterr().err
    assert "something may still be deployed" in record_of(tmp_path)
    fake_runner(cloud, tmp_path).clean_up()
    assert (cloud.deployed, load(tmp_path)) == ("", None)


def test_a_killed_run_knows_what_it_may_have_deployed(cloud: FakeCloud, tmp_path: Path) -> None:
    """The state is in the file before the CDK starts."""
    saved = []
    cloud.during_deploy = lambda: saved.append(load(tmp_path))
    fake_runner(cloud, tmp_path).prove()
    assert [(state.exists, state.deployed, state.instances) for state in saved if state] == [
        (True, "", 1), (True, "async", 2), (True, "changed", 2),
    ]  # fmt: skip


def test_the_time_between_two_runs_is_charged(cloud: FakeCloud, tmp_path: Path) -> None:
    stopped = fake_runner(cloud, tmp_path)
    state = stopped._run.state
    state.exists, state.instances, state.charged_at = True, 2, 1_000.0
    state.save(tmp_path)
    assert fake_runner(cloud, tmp_path).prove() == 1
    record = record_of(tmp_path)
    assert "The limit would be exceeded" in record
    assert cloud.commands == ["destroy"]


def test_a_step_that_could_exceed_the_limit_is_not_begun(cloud: FakeCloud, tmp_path: Path) -> None:
    runner = fake_runner(cloud, tmp_path)
    state = runner._run.state
    state.limit_usd = (CLEAN_UP_MINUTES + JOURNEY[2].minutes - 1) / 60 * state.usd_per_hour
    assert runner.prove() == 1
    assert cloud.commands == JOURNEY_CODES[:2]


def test_a_refused_deploy_is_reported_in_the_words_of_aws(
    cloud: FakeCloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.status = 1
    assert fake_runner(cloud, tmp_path).prove() == 1
    assert "the CDK's last words" in capsys.readouterr().err
    assert cloud.deployed == ""


def test_a_destroy_is_repeated(cloud: FakeCloud, tmp_path: Path) -> None:
    cloud.failing_destroys = 2
    assert fake_runner(cloud, tmp_path).prove() == 0
    assert "attempts: 3" in record_of(tmp_path)


def test_output_in_a_pipe_is_one_line_for_each_step(
    cloud: FakeCloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_runner(cloud, tmp_path).prove()
    output = capsys.readouterr()
    assert [line.split()[1] for line in output.out.splitlines()[:-1]] == CODES
    assert output.err == ""


def test_a_closed_output_stops_the_run_and_not_the_clean_up(
    cloud: FakeCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise CommandError("standard output cannot be written", where="", why="", fix="", code=OUTPUT)

    monkeypatch.setattr(runner, "print", refuse, raising=False)
    stopped = fake_runner(cloud, tmp_path)
    stopped._run.state.exists = True
    assert stopped.prove() == 1
    state = load(tmp_path)
    assert state
    assert (cloud.commands, state.exists) == (["doctor", "destroy"], False)


def test_values_of_settings_that_may_identify_somebody_are_secret(cloud: FakeCloud, tmp_path: Path) -> None:
    run = fake_runner(cloud, tmp_path)._run
    run.state.context = ["model=emoji", "waf=on", "log_days=30", "vpc_subnet_ids=subnet-01,subnet-02"]
    assert run.secrets == ["subnet-01", "subnet-02"]


def test_a_lost_network_does_not_end_a_wait(cloud: FakeCloud, tmp_path: Path) -> None:
    failures = [CommandError("AWS cannot be reached", where="", why="", fix="", code=ENVIRONMENT)] * 3

    def check() -> str:
        if failures:
            raise failures.pop()
        return "there"

    assert fake_runner(cloud, tmp_path)._run.wait("Waiting", check, 1) == "there"


def test_a_wait_ends(cloud: FakeCloud, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="too long"):
        fake_runner(cloud, tmp_path)._run.wait("Waiting", lambda: None, 0)
