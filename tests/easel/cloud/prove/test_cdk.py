"""The CDK command line under `easel prove`: its options, its end by Ctrl-C, its output."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from easel.cloud.prove.cdk import Cdk
from easel.cloud.prove.releases import ADDED
from easel.console.errors import ENVIRONMENT, CommandError
from easel.console.interrupts import Interrupted
from tests.conftest import ROOT

PROGRAM = """#!/bin/sh
echo "$@" >> {root}/commands
case "$1" in
synth) mkdir -p "$(echo "$*" | sed 's/.*--output \\([^ ]*\\).*/\\1/')"; for last; do :; done
  for folder in {folder}/assemblies/*; do echo {{}} > $folder/manifest.json; done ;;
deploy) echo "EaselModel | 3/9 | 4:02:44 AM | UPDATE_IN_PROGRESS | AWS::SageMaker::Endpoint | Endpoint (X)"
  trap 'echo interrupted > {root}/interrupted; exit 1' INT
  i=0; while [ -e {root}/slow ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done
  echo "❌ EaselModel failed: Resource limit exceeded"; exit 1 ;;
esac
"""


@pytest.fixture
def cdk(tmp_path: Path) -> Cdk:
    root, folder = tmp_path / "root", tmp_path / "run"
    program = root / "node_modules/.bin/cdk"
    program.parent.mkdir(parents=True)
    program.write_text(PROGRAM.format(root=root, folder=folder))
    program.chmod(0o755)
    (root / "model_code").mkdir()
    (root / "model_code/inference.py").write_text("def predict_fn(data, model): ...\n")
    return Cdk(root, folder, "eu-west-1", ["model=emoji", "name=easel-prove-test"])


def test_each_variant_is_synthesised_with_its_code_and_settings(cdk: Cdk, tmp_path: Path) -> None:
    events: list[str] = []
    for variant in ("async", "failing"):
        assert cdk.deploy(variant, events.append) == 1
    synthesised, deployed, failing, _ = (tmp_path / "root/commands").read_text().splitlines()
    assert "-c model=emoji -c name=easel-prove-test -c mode=async" in synthesised
    assert f"--model-code {tmp_path / 'root/model_code'}" in synthesised
    assert f"--app {tmp_path / 'run/assemblies/async'}" in deployed
    assert "-c mode=realtime -c update=blue_green" in failing
    code = (tmp_path / "run/code/failing/inference.py").read_text()
    assert code.startswith("def predict_fn") and code.endswith(ADDED["failing"])
    assert "Resource limit exceeded" in cdk.last_words()
    assert "UPDATE_IN_PROGRESS" not in cdk.last_words()


def test_ctrl_c_reaches_the_cdk_and_the_newest_event_is_shown(cdk: Cdk, tmp_path: Path) -> None:
    (tmp_path / "root/slow").touch()

    def interrupt(event: str) -> None:
        if event:
            assert event == " · EaselModel UPDATE_IN_PROGRESS Endpoint (X)"
            raise Interrupted(2)

    with pytest.raises(Interrupted):
        cdk.deploy("async", interrupt)
    assert (tmp_path / "root/interrupted").exists()


def test_a_cdk_that_outlives_the_run_keeps_its_folder_locked(cdk: Cdk, tmp_path: Path) -> None:
    (tmp_path / "root/slow").touch()
    path, tried = tmp_path / "lock", list[str]()
    lock = os.open(path, os.O_CREAT | os.O_WRONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    cdk._lock = (lock,)

    def close_as_a_killed_run(event: str) -> None:
        if event and not tried:
            os.close(lock)
            with path.open() as other:
                try:
                    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    tried.append("free")
                except BlockingIOError:
                    tried.append("locked")
            (tmp_path / "root/slow").unlink()

    cdk.deploy("async", close_as_a_killed_run)
    assert tried == ["locked"]


def test_a_missing_cdk_is_named_with_what_installs_it(tmp_path: Path) -> None:
    with pytest.raises(CommandError) as caught:
        Cdk(tmp_path, tmp_path / "run", "eu-west-1", []).destroy(lambda *_: None)
    assert (caught.value.code, "make synth" in caught.value.fix) == (ENVIRONMENT, True)


@pytest.mark.cdk
def test_the_cdk_runs_the_app_from_a_folder_with_a_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "an é"
    (root / "model_code").mkdir(parents=True)
    (root / "node_modules").symlink_to(ROOT / "node_modules")
    python = root / "python"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nexit 1\n')
    python.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(python))
    with pytest.raises(CommandError) as caught:
        Cdk(root, tmp_path / "run", "eu-west-1", []).deploy("async", lambda *_: None)
    assert f"app.py\n--model-code\n{root / 'model_code'}" in caught.value.why
