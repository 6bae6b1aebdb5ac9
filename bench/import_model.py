"""The import of a model compared with a plain copy: `python -m bench.import_model [--gb 4.57]`, some minutes.

The default size is that of the article's model, a 4.57 GB archive. The hub runs on loopback, the bucket in the emulator
of the deploy tests, the importer as in CodeBuild. The plain copy sends one file after the other from the hub through
boto3's `upload_fileobj` and checks nothing. Both run in turns; the medians are compared.
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

from bench.laptop import ROOT, machine, report
from tests.deploy.harness.environment import EMULATOR_PYTHON, install_emulator
from tests.model_files import stable_diffusion

SHARES = {"unet/diffusion_pytorch_model": 0.76, "text_encoder/model": 0.11, "vae/diffusion_pytorch_model": 0.13}
TARGETS = {"times_a_plain_copy": 1.3}
BLOCK = 64 * 1024 * 1024


def write_model(folder: Path, size: int) -> list[str]:
    """Write large files of random bytes, and the small files that an import reads. Return their names."""
    small = {name: data for name, data in stable_diffusion().items() if not name.endswith(".safetensors")}
    for name, content in small.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    block = os.urandom(BLOCK)
    for name, share in SHARES.items():
        rest = int(size * share)
        tensor = {"a": {"dtype": "U8", "shape": [rest], "data_offsets": [0, rest]}}
        header = json.dumps(tensor).encode()
        with (folder / f"{name}.safetensors").open("wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
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
    """Yield a client of an emulated S3 with an empty bucket `store`."""
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
    started = time.monotonic()
    for name in names:
        with urllib.request.urlopen(f"{hub}/org/model/resolve/{'c' * 40}/{name}") as source:
            s3.upload_fileobj(source, "store", f"plain/{name}")
    return time.monotonic() - started


def run_import(hub: str, code: str = "c0de") -> tuple[float, float]:
    """Return the seconds and the peak memory in MB."""
    source = {"kind": "hub", "repository": "org/model", "revision": "main", "variant": ""}
    request = {"bucket": "store", "state": "imports/1.json", "code": code, "source": source, "hub_url": hub}
    started, peak = time.monotonic(), 0
    environment = {**os.environ, "EASEL_IMPORT": json.dumps(request)}
    program = subprocess.Popen([sys.executable, "-m", "model_importer"], cwd=ROOT, env=environment)
    process = psutil.Process(program.pid)
    while program.poll() is None:
        try:
            peak = max(peak, process.memory_info().rss)
        except psutil.Error:
            break
        time.sleep(0.1)
    if program.wait():
        sys.exit("the import failed")
    return time.monotonic() - started, peak / 1e6


def measure(folder: Path, size: int, runs: int) -> dict[str, float]:
    names = write_model(folder / "model", size)
    measured: dict[str, list[float]] = {"plain": [], "import": [], "memory": []}
    with running(sys.executable, "-m", "tests.model_importer.hub", str(folder / "model")) as server:
        assert server.stdout
        hub = server.stdout.readline().strip()
        for _ in range(runs):
            with bucket(folder) as s3:
                measured["plain"].append(plain_copy(s3, hub, names))
            with bucket(folder) as s3:
                seconds, memory = run_import(hub)
                measured["import"].append(seconds)
                measured["memory"].append(memory)
                again = run_import(hub)[0]
                print(
                    f"plain {measured['plain'][-1]:.1f} s, import {seconds:.1f} s, {memory:.0f} MB, again {again:.1f} s"
                )
    plain, imported = (statistics.median(measured[name]) for name in ("plain", "import"))
    return {
        "gb": size / 1e9,
        "plain_mb_per_s": size / 1e6 / plain,
        "import_mb_per_s": size / 1e6 / imported,
        "times_a_plain_copy": imported / plain,
        "import_memory_mb": max(measured["memory"]),
        "import_again_s": again,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gb", type=float, default=4.57)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    install_emulator()
    this_machine, folder = machine(), Path(tempfile.mkdtemp(prefix="import-"))
    try:
        report("import_model", measure(folder, int(arguments.gb * 1e9), arguments.runs), TARGETS, this_machine)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
