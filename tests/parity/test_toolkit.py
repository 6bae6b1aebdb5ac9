"""The serving image's toolkit runs model_code/ as the laptop does. `make parity` runs the whole server."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import pytest

from contract import render_profile
from tests.deploy.emulator.sagemaker.container import free_port
from tests.deploy.harness.environment import ROOT, user_environment
from tests.model_code import tiny
from tests.model_code.conftest import PROFILE
from tests.parity import environment, messages
from tests.parity.messages import Message
from tests.parity.servers import Answer, laptop

WORKER = Path(__file__).with_name("worker.py")
TOOLKITS = ("sagemaker_inference", "sagemaker_huggingface_inference_toolkit")
NO_SCIPY = "sagemaker_inference/decoder.py", "import scipy.sparse\n", "# no scipy here: only .npz would need it\n"
"""With scipy, the tests would have a package that a laptop lacks, and diffusers takes it where it is."""
DRAWN = Message("a picture", b'{"prompt": ["a", "b"], "seed": 7, "scheduler": "euler_a"}')
REFUSED = Message("a size off the grid", b'{"prompt": "a", "width": 65}')
PICKLED = Message("a pickled array", b"\x93NUMPY", "application/x-npy")
BROKEN = Message("a body that is not UTF-8", b'{"prompt": "\xff"}')
ASKED = (DRAWN, REFUSED, PICKLED, BROKEN)


@dataclass(frozen=True)
class Answered:
    """By name of the message: by the laptop's container and by the toolkit, and what model_code/ logged in this."""

    ours: dict[str, Answer]
    theirs: dict[str, Answer]
    log: str


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Answered:
    folder = tmp_path_factory.mktemp("toolkit")
    release = tiny.saved(tiny.stable_diffusion(), folder / "release")
    shutil.copytree(ROOT / "model_code", release / "code", ignore=shutil.ignore_patterns("__pycache__"))
    variables = {"EASEL_MODEL_PROFILE": render_profile(PROFILE)}
    with laptop(release, variables, folder / "laptop", free_port()) as server:
        theirs, log = ask_toolkit(release, variables, folder)
        server.wait()
        ours = {one.name: server.call(one.body, one.kind) for one in ASKED}
    return Answered(ours, theirs, log)


def ask_toolkit(release: Path, variables: dict[str, str], folder: Path) -> tuple[dict[str, Answer], str]:
    packages = folder / "packages"
    for name in TOOLKITS:
        shutil.copytree(str(distribution(name).locate_file(name)), packages / name)
    for misfit in (environment.MISFIT, NO_SCIPY):
        environment.mend(packages, *misfit)
    asked, told = folder / "asked.json", folder / "told.json"
    asked.write_text(json.dumps([(one.name, one.kind, one.body.decode("latin-1")) for one in ASKED]))
    command = [sys.executable, "-P", str(WORKER), str(release), str(asked), str(told)]
    here = {**user_environment(), "PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": "1", **variables}
    done = subprocess.run(command, cwd=folder, env=here, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    answers = (Answer(status, kind, body.encode("latin-1"), 0) for status, kind, body in json.loads(told.read_text()))
    return dict(zip((one.name for one in ASKED), answers, strict=True)), done.stdout


@pytest.mark.parametrize("message", [DRAWN, REFUSED, PICKLED], ids=lambda message: message.name)
def test_it_answers_as_the_laptop_does(answered: Answered, message: Message) -> None:
    ours, theirs = answered.ours[message.name], answered.theirs[message.name]
    assert (theirs.status, theirs.kind) == (ours.status, ours.kind) == (200, "application/json")
    assert messages.compare(message, ours, theirs)["differs"] == ""
    assert ("generated_images" in json.loads(theirs.body)) is (message is DRAWN)


def test_an_exception_is_the_same_status(answered: Answered) -> None:
    """It is raised before model_code/ is called; the words of the answer are the half's in Java."""
    assert answered.theirs[BROKEN.name].status == answered.ours[BROKEN.name].status == 400


def test_its_context_tells_the_inference_id(answered: Answered) -> None:
    lines = [json.loads(line) for line in answered.log.splitlines() if line.startswith('{"event"')]
    told = {line["event"]: line.get("inference_id") for line in lines}
    assert told.items() >= {"drawn": DRAWN.name, "refused": REFUSED.name}.items()


def test_it_is_what_make_parity_runs() -> None:
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "requirements-data.txt").read_text(), re.MULTILINE))
    del pinned["sagemaker-core"]
    assert {"multi-model-server", *(name.replace("_", "-") for name in TOOLKITS)} == pinned.keys()
    assert pinned.items() <= environment.pins().items()
