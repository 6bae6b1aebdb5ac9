"""The import of a model beside a plain copy: `python -m bench.import_model [--gb 4.57]`, some minutes.

The size is the article's model (a 4.57 GB archive). A hub on loopback, a bucket of the deploy test's emulator, and the
importer as CodeBuild runs it. The plain copy is what one would write without it: each file, as the hub's link leads to
it, through boto3's `upload_fileobj` into the same bucket; nothing is checked, and the files come one after the other.
Runs of both take turns; the medians are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import psutil
from botocore.config import Config

from bench.laptop import ROOT, machine, tell
from tests.deploy.harness.environment import EMULATOR_PYTHON, install_emulator

SHARES = {"unet/diffusion_pytorch_model": 0.76, "text_encoder/model": 0.11, "vae/diffusion_pytorch_model": 0.13}
INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
TARGETS = {"times_a_plain_copy": 1.3}
BLOCK = 64 * 1024 * 1024


def write_model(folder: Path, size: int) -> list[str]:
    """Large files of bytes that no layer can shrink, and the small ones that an import reads."""
    small = {"model_index.json": INDEX, "scheduler/scheduler_config.json": {}}
    for name, content in small.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    block = os.urandom(BLOCK)
    for name, share in SHARES.items():
        path = folder / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            rest = int(size * share)
            while rest > 0:
                file.write(block[: min(rest, BLOCK)])
                rest -= BLOCK
    return [*small, *(f"{name}.safetensors" for name in SHARES)]


@contextmanager
def running(*command: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **variables}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def bucket(folder: Path) -> Iterator[Any]:
    """A client of an S3 with the bucket `store`, whose server ends with all it holds."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    os.environ.update(AWS_ENDPOINT_URL=url, AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x")
    os.environ.update(AWS_DEFAULT_REGION="us-east-1", AWS_EC2_METADATA_DISABLED="true")
    emulator = {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "TMPDIR": str(folder)}
    with running(str(EMULATOR_PYTHON), "-m", "ministack.app", **emulator) as server:
        wait_for(port, server)
        s3 = boto3.client("s3", config=Config(max_pool_connections=32, retries={"total_max_attempts": 10}))
        s3.create_bucket(Bucket="store")
        yield s3


def wait_for(port: int, server: subprocess.Popen[str]) -> None:
    while server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    sys.exit("the emulator did not start")


def plain_copy(s3: Any, hub: str, names: list[str]) -> float:
    began = time.monotonic()
    for name in names:
        with urllib.request.urlopen(f"{hub}/org/model/resolve/{'c' * 40}/{name}") as source:
            s3.upload_fileobj(source, "store", f"plain/{name}")
    return time.monotonic() - began


def imported(hub: str, code: str = "c0de") -> tuple[float, float]:
    """Seconds, and the most memory in MB that the program took."""
    source = {"kind": "hub", "repository": "org/model", "revision": "main", "variant": ""}
    request = {"bucket": "store", "state": "imports/1.json", "code": code, "source": source, "hub_url": hub}
    began, most = time.monotonic(), 0
    environment = {**os.environ, "EASEL_IMPORT": json.dumps(request)}
    program = subprocess.Popen([sys.executable, "-m", "model_importer"], cwd=ROOT, env=environment)
    watched = psutil.Process(program.pid)
    while program.poll() is None:
        try:
            most = max(most, watched.memory_info().rss)
        except psutil.Error:
            break
        time.sleep(0.1)
    if program.wait():
        sys.exit("the import failed")
    return time.monotonic() - began, most / 1e6


def measure(folder: Path, size: int, runs: int) -> dict[str, float]:
    names = write_model(folder / "model", size)
    took: dict[str, list[float]] = {"plain": [], "import": [], "memory": []}
    with running(sys.executable, "-m", "tests.model_importer.hub", str(folder / "model")) as server:
        assert server.stdout
        hub = server.stdout.readline().strip()
        for _ in range(runs):
            with bucket(folder) as s3:
                took["plain"].append(plain_copy(s3, hub, names))
            with bucket(folder) as s3:
                seconds, memory = imported(hub)
                took["import"].append(seconds)
                took["memory"].append(memory)
                again = imported(hub)[0]
                print(f"plain {took['plain'][-1]:.1f} s, import {seconds:.1f} s, {memory:.0f} MB, again {again:.1f} s")
    plain, ours = (statistics.median(took[name]) for name in ("plain", "import"))
    return {
        "gb": size / 1e9,
        "plain_mb_per_s": size / 1e6 / plain,
        "import_mb_per_s": size / 1e6 / ours,
        "times_a_plain_copy": ours / plain,
        "import_memory_mb": max(took["memory"]),
        "import_again_s": again,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gb", type=float, default=4.57)
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    install_emulator()
    where, folder = machine(), Path(tempfile.mkdtemp(prefix="import-"))
    try:
        tell("import_model", measure(folder, int(asked.gb * 1e9), asked.runs), TARGETS, where)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
