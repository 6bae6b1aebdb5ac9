"""The scripts of the notebook instance, run for real: beside a Jupyter and a SageMaker that are small servers here."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from stacks.notebook.lifecycle import SCRIPTS, script
from tests.deploy.harness.environment import create_certificate

ARN = "arn:aws:sagemaker:eu-west-1:123456789012:notebook-instance/notebook-abc"
HOUR = 3600.0


@dataclass
class World:
    """What Jupyter tells, and what SageMaker was asked."""

    hours_ago: float = 0
    kernels: list[str] = field(default_factory=list)
    status: int = 200
    other: Any = None
    """What Jupyter answers instead of what is expected."""
    refused: bool = False
    asked: list[str] = field(default_factory=list)
    stopped: list[Any] = field(default_factory=list)

    def jupyter(self, path: str) -> Any:
        self.asked.append(path)
        if self.other is not None:
            return self.other
        if path.startswith("/api/kernels"):
            return [{"id": str(i), "execution_state": state} for i, state in enumerate(self.kernels)]
        used = datetime.fromtimestamp(time.time() - self.hours_ago * HOUR, UTC)
        return {"last_activity": used.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), "kernels": len(self.kernels)}


def serve(answer: Callable[[BaseHTTPRequestHandler, bytes], tuple[int, Any]]) -> ThreadingHTTPServer:
    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            status, told = answer(self, body)
            data = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@dataclass
class Instance:
    """A folder as on_start.sh leaves it, with the two servers."""

    world: World
    folder: Path
    jupyter: str
    sagemaker: str

    def look(self, hours: str = "1", started_hours_ago: float = 100) -> subprocess.CompletedProcess[str]:
        file = self.folder / "idle_stop.py"
        file.write_text(script("idle_stop.py"))
        then = time.time() - started_hours_ago * HOUR
        os.utime(file, (then, then))
        metadata = self.folder / "resource-metadata.json"
        metadata.write_text(json.dumps({"ResourceArn": ARN, "ResourceName": "notebook-abc"}))
        own = {"AWS_ENDPOINT_URL_SAGEMAKER": self.sagemaker, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
        asked = ("--hours", hours, "--jupyter", self.jupyter, "--metadata", str(metadata))
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return subprocess.run(
            [sys.executable, file, *asked], env=kept | own, capture_output=True, text=True, timeout=60
        )  # fmt: skip


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    world = World()

    def sagemaker(request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, Any]:
        if world.refused:
            return 400, {"__type": "AccessDeniedException", "Message": "not allowed"}
        assert "/eu-west-1/sagemaker/" in request.headers["authorization"]
        world.stopped.append((request.headers["x-amz-target"], json.loads(body)))
        return 200, {}

    with ExitStack() as running:
        jupyter = serve(lambda request, _: (world.status, world.jupyter(request.path)))
        control = serve(sagemaker)
        for server in (jupyter, control):
            running.callback(server.server_close)
            running.callback(server.shutdown)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*create_certificate(tmp_path))
        jupyter.socket = context.wrap_socket(jupyter.socket, server_side=True)
        yield Instance(
            world, tmp_path, f"https://127.0.0.1:{jupyter.server_port}", f"http://127.0.0.1:{control.server_port}"
        )


STOPPED = [("SageMaker.StopNotebookInstance", {"NotebookInstanceName": "notebook-abc"})]


@pytest.mark.parametrize(
    ("hours_ago", "kernels", "started", "stops"),
    [
        (1.01, [], 100, True),
        (0.99, [], 100, False),
        (5, ["idle", "idle"], 100, True),
        (5, ["idle", "busy"], 100, False),
        (5, ["starting"], 100, False),
        (5, [], 0.5, False),  # it has just been started again
    ],
)
def test_who_has_not_been_used_for_an_hour_stops(
    instance: Instance, hours_ago: float, kernels: list[str], started: float, stops: bool
) -> None:
    instance.world.hours_ago, instance.world.kernels = hours_ago, kernels
    done = instance.look(started_hours_ago=started)
    assert done.returncode == 0, done.stderr
    assert instance.world.stopped == STOPPED * stops
    assert ("notebook-abc stops" in done.stdout) is stops


def test_looking_is_no_use(instance: Instance) -> None:
    """Jupyter would count it, and the instance would never stop."""
    instance.look()
    assert instance.world.asked == ["/api/kernels?no_track_activity=1", "/api/status?no_track_activity=1"]


@pytest.mark.parametrize(("started", "stops"), [(11.9, False), (12.1, True)])
def test_where_jupyter_cannot_be_asked_it_stops_half_a_day_after_its_start(
    instance: Instance, started: float, stops: bool
) -> None:
    instance.world.status = 403
    done = instance.look(started_hours_ago=started)
    assert done.returncode == 0, done.stderr
    assert "Jupyter cannot be asked (<HTTPError 403" in done.stdout
    assert instance.world.stopped == STOPPED * stops


def test_an_answer_that_is_not_jupyters_keeps_no_instance_running(instance: Instance) -> None:
    instance.world.other = {"last_activity": None}
    done = instance.look()
    assert (done.returncode, instance.world.stopped) == (0, STOPPED), done.stderr


def test_a_right_that_is_missing_is_told(instance: Instance) -> None:
    instance.world.hours_ago, instance.world.refused = 5, True
    done = instance.look()
    assert done.returncode != 0
    assert "AccessDeniedException" in done.stderr


# --- the shell scripts ---------------------------------------------------------------------------


def run(text: str, folder: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    """Runs a script with programs of ours first on the path; each also writes its words to `said`."""
    bin = folder / "bin"
    bin.mkdir()
    for name, does in programs.items():
        file = bin / name.replace("_", "-")
        file.write_text(f'#!/bin/bash\necho "$(basename "$0") $*" >> {folder}/said\n{does}\n')
        file.chmod(0o755)
    path = f"{bin}:{os.environ['PATH']}"
    return subprocess.run(["bash"], input=text, env={**os.environ, "PATH": path}, capture_output=True, text=True)


@pytest.mark.parametrize(("hours", "timers"), [("3", 1), ("0", 0)])
def test_every_start_sets_the_timer_and_writes_what_it_runs(tmp_path: Path, hours: str, timers: int) -> None:
    folder = tmp_path / "easel"
    values = {"FOLDER": str(folder), "IDLE_STOP": script("idle_stop.py").rstrip("\n"), "HOURS": hours}
    done = run(script("on_start.sh", **values), tmp_path, systemd_run="", python3="")
    assert done.returncode == 0, done.stderr
    assert (folder / "idle_stop.py").read_text() == script("idle_stop.py")
    said = [line for line in (tmp_path / "said").read_text().splitlines() if line.startswith("systemd-run")]
    timer = f"systemd-run --unit=easel-idle --on-active=5min --on-unit-active=5min python3 {folder}/idle_stop.py"
    assert [line for line in said if "easel-idle" in line] == [f"{timer} --hours {hours}"] * timers
    assert "--uid=ec2-user" in said[-1]
    assert said[-1].endswith("notebooks/instance/kernel.sh")


def test_an_instance_that_nothing_could_stop_does_not_start(tmp_path: Path) -> None:
    values = {"FOLDER": str(tmp_path / "easel"), "IDLE_STOP": "", "HOURS": "1"}
    done = run(script("on_start.sh", **values), tmp_path, systemd_run="", python3="exit 1")
    assert (done.returncode, done.stderr) == (1, "No Python here has boto3, so nothing could stop an idle instance\n")


def test_the_first_start_unpacks_what_was_shipped(tmp_path: Path) -> None:
    home, archive = tmp_path / "home", tmp_path / "code.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("notebooks/stable_diffusion.ipynb", "{}")
    text = script("on_create.sh", REGION="eu-west-1", ARCHIVE="s3://b/code.zip")
    done = run(
        text.replace("/home/ec2-user/SageMaker", str(home)), tmp_path, aws=f'cp {archive} "${{@: -1}}"', chown=""
    )
    assert done.returncode == 0, done.stderr
    assert (home / "easel/notebooks/stable_diffusion.ipynb").read_text() == "{}"
    said = (tmp_path / "said").read_text().splitlines()
    assert said[0].startswith("aws s3 cp --only-show-errors --region eu-west-1 s3://b/code.zip /tmp/")
    assert said[-1] == f"chown -R ec2-user:ec2-user {home}/easel"


def test_the_kernel_is_made_once_and_told_to_jupyter_each_time(tmp_path: Path) -> None:
    conda = tmp_path / "anaconda3/bin/conda"
    conda.parent.mkdir(parents=True)
    python = tmp_path / "SageMaker/kernel/bin/python"
    program = f"#!/bin/bash\\necho \\$* >> {tmp_path}/said\\n"
    made = f'mkdir -p {python.parent}; printf "{program}" > {python}; chmod +x {python}'
    conda.write_text(f"#!/bin/bash\necho conda $* >> {tmp_path}/said\n{made}\n")
    conda.chmod(0o755)
    for _ in range(2):
        environment = {**os.environ, "HOME": str(tmp_path)}
        done = subprocess.run(["bash", SCRIPTS / "kernel.sh"], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    said = (tmp_path / "said").read_text().splitlines()
    each = [
        f"-m pip install --quiet -r {SCRIPTS}/../requirements.txt",
        "-m ipykernel install --user --name easel --display-name Easel",
    ]
    assert said == [f"conda create --yes --quiet --prefix {python.parents[1]} python=3.12", *each, *each]
