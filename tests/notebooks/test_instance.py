"""The scripts of the notebook instance, run against a Jupyter and a SageMaker that are small servers."""

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
class Services:
    """Responses of Jupyter, and the requests to Jupyter and SageMaker."""

    hours_ago: float = 0
    kernels: list[str] = field(default_factory=list)
    status: int = 200
    unexpected: Any = None
    """A response of Jupyter that is not in its format."""
    denied: bool = False
    jupyter_paths: list[str] = field(default_factory=list)
    stopped: list[Any] = field(default_factory=list)

    def jupyter(self, path: str) -> Any:
        self.jupyter_paths.append(path)
        if self.unexpected is not None:
            return self.unexpected
        if path.startswith("/api/kernels"):
            return [{"id": str(i), "execution_state": state} for i, state in enumerate(self.kernels)]
        last_used = datetime.fromtimestamp(time.time() - self.hours_ago * HOUR, UTC)
        return {"last_activity": last_used.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), "kernels": len(self.kernels)}


def serve(respond: Callable[[BaseHTTPRequestHandler, bytes], tuple[int, Any]]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            status, payload = respond(self, body)
            data = json.dumps(payload).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@dataclass
class Instance:
    """A folder as on_start.sh leaves it, with the two services."""

    services: Services
    folder: Path
    jupyter: str
    sagemaker: str

    def check_idle(self, hours: str = "1", started_hours_ago: float = 100) -> subprocess.CompletedProcess[str]:
        file = self.folder / "idle_stop.py"
        file.write_text(script("idle_stop.py"))
        started = time.time() - started_hours_ago * HOUR
        os.utime(file, (started, started))
        metadata = self.folder / "resource-metadata.json"
        metadata.write_text(json.dumps({"ResourceArn": ARN, "ResourceName": "notebook-abc"}))
        variables = {
            "AWS_ENDPOINT_URL_SAGEMAKER": self.sagemaker,
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
        }
        arguments = ("--hours", hours, "--jupyter", self.jupyter, "--metadata", str(metadata))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return subprocess.run(
            [sys.executable, file, *arguments], env=environment | variables, capture_output=True, text=True, timeout=180
        )  # fmt: skip


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    services = Services()

    def sagemaker(request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, Any]:
        if services.denied:
            return 400, {"__type": "AccessDeniedException", "Message": "not allowed"}
        assert "/eu-west-1/sagemaker/" in request.headers["authorization"]
        services.stopped.append((request.headers["x-amz-target"], json.loads(body)))
        return 200, {}

    with ExitStack() as running:
        jupyter = serve(lambda request, _: (services.status, services.jupyter(request.path)))
        control = serve(sagemaker)
        for server in (jupyter, control):
            running.callback(server.server_close)
            running.callback(server.shutdown)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*create_certificate(tmp_path))
        jupyter.socket = context.wrap_socket(jupyter.socket, server_side=True)
        yield Instance(
            services, tmp_path, f"https://127.0.0.1:{jupyter.server_port}", f"http://127.0.0.1:{control.server_port}"
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
        (5, [], 0.5, False),  # started half an hour ago
    ],
)
def test_instance_stops_after_an_hour_without_use(
    instance: Instance, hours_ago: float, kernels: list[str], started: float, stops: bool
) -> None:
    instance.services.hours_ago, instance.services.kernels = hours_ago, kernels
    done = instance.check_idle(started_hours_ago=started)
    assert done.returncode == 0, done.stderr
    assert instance.services.stopped == STOPPED * stops
    assert ("Stopping notebook-abc" in done.stdout) is stops


def test_the_check_does_not_count_as_use(instance: Instance) -> None:
    """Otherwise the instance would never stop."""
    instance.check_idle()
    assert instance.services.jupyter_paths == ["/api/kernels?no_track_activity=1", "/api/status?no_track_activity=1"]


@pytest.mark.parametrize(("started", "stops"), [(11.9, False), (12.1, True)])
def test_instance_without_jupyter_stops_half_a_day_after_its_start(
    instance: Instance, started: float, stops: bool
) -> None:
    instance.services.status = 403
    done = instance.check_idle(started_hours_ago=started)
    assert done.returncode == 0, done.stderr
    assert "HTTPError 403" in done.stdout
    assert instance.services.stopped == STOPPED * stops


def test_unexpected_response_of_jupyter_does_not_keep_the_instance_running(instance: Instance) -> None:
    instance.services.unexpected = {"last_activity": None}
    done = instance.check_idle()
    assert (done.returncode, instance.services.stopped) == (0, STOPPED), done.stderr


def test_missing_permission_is_reported(instance: Instance) -> None:
    instance.services.hours_ago, instance.services.denied = 5, True
    done = instance.check_idle()
    assert done.returncode != 0
    assert "AccessDeniedException" in done.stderr


# --- the shell scripts ---------------------------------------------------------------------------


def run(text: str, folder: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    """Run a script with fake `programs` (name to Bash code) first on the path. They log their calls to `calls`."""
    bin = folder / "bin"
    bin.mkdir()
    for name, code in programs.items():
        file = bin / name.replace("_", "-")
        file.write_text(f'#!/bin/bash\necho "$(basename "$0") $*" >> {folder}/calls\n{code}\n')
        file.chmod(0o755)
    path = f"{bin}:{os.environ['PATH']}"
    return subprocess.run(["bash"], input=text, env={**os.environ, "PATH": path}, capture_output=True, text=True)


@pytest.mark.parametrize(("hours", "timers"), [("3", 1), ("0", 0)])
def test_every_start_sets_the_timer_and_writes_its_script(tmp_path: Path, hours: str, timers: int) -> None:
    folder = tmp_path / "easel"
    values = {
        "FOLDER": str(folder),
        "IDLE_STOP": script("idle_stop.py").rstrip("\n"),
        "HOURS": hours,
        "NAME": "easel-dev",
    }
    done = run(script("on_start.sh", **values), tmp_path, systemd_run="", python3="")
    assert done.returncode == 0, done.stderr
    assert (folder / "idle_stop.py").read_text() == script("idle_stop.py")
    calls = [line for line in (tmp_path / "calls").read_text().splitlines() if line.startswith("systemd-run")]
    timer = f"systemd-run --unit=easel-idle --on-active=5min --on-unit-active=5min python3 {folder}/idle_stop.py"
    assert [line for line in calls if "easel-idle" in line] == [f"{timer} --hours {hours}"] * timers
    assert "--uid=ec2-user" in calls[-1]
    assert calls[-1].endswith("notebooks/instance/kernel.sh easel-dev")


def test_start_fails_without_boto3(tmp_path: Path) -> None:
    values = {"FOLDER": str(tmp_path / "easel"), "IDLE_STOP": "", "HOURS": "1"}
    done = run(script("on_start.sh", **values), tmp_path, systemd_run="", python3="exit 1")
    assert done.returncode == 1
    assert "boto3" in done.stderr


def test_creation_unpacks_the_archive(tmp_path: Path) -> None:
    home, archive = tmp_path / "home", tmp_path / "code.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("notebooks/stable_diffusion.ipynb", "{}")
    text = script("on_create.sh", REGION="eu-west-1", ARCHIVE="s3://b/code.zip")
    done = run(
        text.replace("/home/ec2-user/SageMaker", str(home)), tmp_path, aws=f'cp {archive} "${{@: -1}}"', chown=""
    )
    assert done.returncode == 0, done.stderr
    assert (home / "easel/notebooks/stable_diffusion.ipynb").read_text() == "{}"
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[0].startswith("aws s3 cp --only-show-errors --region eu-west-1 s3://b/code.zip /tmp/")
    assert calls[-1] == f"chown -R ec2-user:ec2-user {home}/easel"


def test_the_kernel_is_created_once_and_registered_at_every_start(tmp_path: Path) -> None:
    conda = tmp_path / "anaconda3/bin/conda"
    conda.parent.mkdir(parents=True)
    python = tmp_path / "SageMaker/kernel/bin/python"
    program = f"#!/bin/bash\\necho \\$* >> {tmp_path}/calls\\n"
    create = f'mkdir -p {python.parent}; printf "{program}" > {python}; chmod +x {python}'
    conda.write_text(f"#!/bin/bash\necho conda $* >> {tmp_path}/calls\n{create}\n")
    conda.chmod(0o755)
    for _ in range(2):
        environment = {**os.environ, "HOME": str(tmp_path)}
        done = subprocess.run(
            ["bash", SCRIPTS / "kernel.sh", "easel-dev"], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    calls = (tmp_path / "calls").read_text().splitlines()
    registration = [
        f"-m pip install --quiet -r {SCRIPTS}/../requirements-sagemaker.txt",
        "-m ipykernel install --user --name easel --display-name Easel --env EASEL_NAME easel-dev",
    ]
    assert calls == [
        f"conda create --yes --quiet --prefix {python.parents[1]} python=3.12",
        *registration,
        *registration,
    ]
