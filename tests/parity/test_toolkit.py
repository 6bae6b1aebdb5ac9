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
from tests.deploy.emulator.ports import free_port
from tests.deploy.harness.environment import ROOT, user_environment
from tests.model_code import tiny
from tests.model_code.conftest import PROFILE
from tests.parity import environment, messages
from tests.parity.messages import Message
from tests.parity.servers import Response, laptop_server

WORKER = Path(__file__).with_name("worker.py")
TOOLKITS = ("sagemaker_inference", "sagemaker_huggingface_inference_toolkit")
SCIPY_PATCH: environment.Patch = (
    "sagemaker_inference/decoder.py",
    "import scipy.sparse\n",
    "# no scipy here: only .npz would need it\n",
)
"""A laptop has no scipy, and diffusers behaves differently with it. So the tests must not install it."""
GENERATED = Message("two images", b'{"prompt": ["a", "b"], "seed": 7, "scheduler": "euler_a"}')
REFUSED = Message("a width of 65", b'{"prompt": "a", "width": 65}')
PICKLED = Message("a pickled array", b"\x93NUMPY", "application/x-npy")
NOT_UTF8 = Message("a body that is not UTF-8", b'{"prompt": "\xff"}')
SENT = (GENERATED, REFUSED, PICKLED, NOT_UTF8)


@dataclass(frozen=True)
class Exchange:
    """The responses by name of the message, and what model_code/ logged under the toolkit."""

    laptop: dict[str, Response]
    toolkit: dict[str, Response]
    log: str


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Exchange:
    folder = tmp_path_factory.mktemp("toolkit")
    release = tiny.save(tiny.stable_diffusion(), folder / "release")
    shutil.copytree(ROOT / "model_code", release / "code", ignore=shutil.ignore_patterns("__pycache__"))
    variables = {"EASEL_MODEL_PROFILE": render_profile(PROFILE)}
    with laptop_server(release, variables, folder / "laptop", free_port()) as server:
        toolkit, log = run_toolkit(release, variables, folder)
        server.wait()
        laptop = {message.name: server.request(message.body, message.content_type) for message in SENT}
    return Exchange(laptop, toolkit, log)


def run_toolkit(release: Path, variables: dict[str, str], folder: Path) -> tuple[dict[str, Response], str]:
    packages = folder / "packages"
    for name in TOOLKITS:
        shutil.copytree(str(distribution(name).locate_file(name)), packages / name)
    for patch in (environment.TRANSFORMERS_PATCH, SCIPY_PATCH):
        environment.apply_patch(packages, patch)
    requests, responses = folder / "requests.json", folder / "responses.json"
    requests.write_text(json.dumps([(m.name, m.content_type, m.body.decode("latin-1")) for m in SENT]))
    command = [sys.executable, "-P", str(WORKER), str(release), str(requests), str(responses)]
    own = {**user_environment(), "PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": "1", **variables}
    ended = subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, timeout=500)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    received = (
        Response(status, content_type, body.encode("latin-1"), 0)
        for status, content_type, body in json.loads(responses.read_text())
    )
    return dict(zip((message.name for message in SENT), received, strict=True)), ended.stdout


@pytest.mark.parametrize("message", [GENERATED, REFUSED, PICKLED], ids=lambda message: message.name)
def test_the_toolkit_responds_like_the_laptop(exchange: Exchange, message: Message) -> None:
    laptop, toolkit = exchange.laptop[message.name], exchange.toolkit[message.name]
    assert (toolkit.status, toolkit.content_type) == (laptop.status, laptop.content_type) == (200, "application/json")
    assert messages.compare(message, laptop, toolkit)["difference"] == ""
    assert ("generated_images" in json.loads(toolkit.body)) is (message is GENERATED)


def test_an_exception_has_the_same_status(exchange: Exchange) -> None:
    """It is raised before model_code/ is called. The Java part of the server writes the text of the response."""
    assert exchange.toolkit[NOT_UTF8.name].status == exchange.laptop[NOT_UTF8.name].status == 400


def test_log_lines_have_the_inference_id_of_the_toolkit_s_context(exchange: Exchange) -> None:
    lines = [json.loads(line) for line in exchange.log.splitlines() if line.startswith('{"event"')]
    ids = {line["event"]: line.get("inference_id") for line in lines}
    assert ids.items() >= {"generated": GENERATED.name, "refused": REFUSED.name}.items()


def test_the_toolkits_have_the_versions_of_make_parity() -> None:
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "requirements-data.txt").read_text(), re.MULTILINE))
    toolkits = {"multi-model-server", *(name.replace("_", "-") for name in TOOLKITS)}
    assert {name: pinned[name] for name in toolkits}.items() <= environment.pins().items()
