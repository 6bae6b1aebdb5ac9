"""`easel up` as a process: its output, its errors, and that no process is left."""

import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from easel.laptop.catalogue import find
from easel.laptop.public_url import PublicUrl
from easel.laptop.settings import Settings
from tests.easel.running import EASEL, FAKE, MODEL, ROOT, SECONDS, Laptop, free_port, wait_for

pytestmark = pytest.mark.laptop


def start_error(*options: str, data: Path) -> tuple[int, str]:
    """Return the exit code and the output of an `easel up` that does not start."""
    command = [*EASEL, "up", "--port", str(free_port()), "--container", FAKE, "--data", str(data), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=5 * SECONDS)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


def curl(laptop: Laptop) -> bytes:
    """Return the whole output of the curl command that `up` printed."""
    printed = laptop.output
    command = printed[printed.index("curl ") : printed.index(" | head -c 400\n\n")]
    return subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout


def test_the_printed_curl_command_works(laptop: Laptop) -> None:
    assert re.search(rf"Ready in [0-9.]+ s: {laptop.url}\n", laptop.output)
    response = json.loads(curl(laptop))
    assert len(response["generated_images"]) == len(response["seeds"]) == 2
    assert response["parameters"]["width"] == 512


def test_it_is_ready_only_after_the_model_is_loaded(tmp_path: Path) -> None:
    with Laptop(tmp_path, FAKE_LOAD_SECONDS="1.5") as laptop:
        assert laptop.output.startswith("Loading")
        assert float(re.findall(r"Ready in ([0-9.]+) s", laptop.output)[0]) >= 1.2
        assert laptop.http.get("/health").json()["endpoint"]["status"] == "ready"


def test_on_a_terminal_the_log_of_requests_goes_to_a_file(tmp_path: Path) -> None:
    controller, terminal = pty.openpty()
    port, data = free_port(), tmp_path / "data"
    process = subprocess.Popen(
        [*EASEL, "up", "--port", str(port), "--model", MODEL, "--container", FAKE, "--data", str(data)],
        cwd=ROOT, env={**os.environ, "TERM": "xterm", "FAKE_LOAD_SECONDS": "1.5"},
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    output = b""
    try:
        while b"Press Ctrl-C" not in output:
            output += os.read(controller, 4096)
        httpx.get(f"http://127.0.0.1:{port}/models", timeout=SECONDS, trust_env=False)
        process.send_signal(signal.SIGINT)
        while b"Stopped." not in output:
            output += os.read(controller, 4096)
    finally:
        process.terminate()
        process.wait(SECONDS)
        os.close(controller)
    assert b"Loading Emoji" in output
    assert b"/models" not in output
    assert "/models" in (data / "api.log").read_text()


def test_results_survive_a_fast_restart(tmp_path: Path) -> None:
    with Laptop(tmp_path) as laptop:
        id = laptop.submit(seed=7)
        image = laptop.http.get(laptop.outcome(id)["images"][0]["url"]).content
    began = time.monotonic()
    with Laptop(tmp_path) as laptop:
        assert time.monotonic() - began < 55, "the port is free at once, and not after a minute"
        job = laptop.job(id)
        assert job["status"] == "succeeded"
        assert laptop.http.get(job["images"][0]["url"]).content == image
        assert [job["id"] for job in laptop.http.get("/jobs").json()["jobs"]] == [id]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_ends_every_process_during_work(tmp_path: Path, number: signal.Signals) -> None:
    with Laptop(tmp_path) as laptop:
        for _ in range(3):
            laptop.submit("slow 60")
        wait_for(lambda: len(laptop.processes()) >= 2)
        began = time.monotonic()
        code = laptop.stop(number)
        assert time.monotonic() - began < 40, "the jobs would take three minutes"
        assert code == (0 if number != signal.SIGKILL else -signal.SIGKILL)
        assert ("Stopped." in laptop.output) == (code == 0)
        with pytest.raises(httpx.ConnectError):
            laptop.http.get("/health")


def test_a_request_that_waits_for_a_job_gets_a_response_at_the_stop(tmp_path: Path) -> None:
    with Laptop(tmp_path) as laptop, httpx.Client(trust_env=False) as http:
        with socket.create_connection(("127.0.0.1", laptop.port)) as connection:
            body = b'{"prompt": "slow 100"}'
            head = f"POST /generate HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n"
            connection.sendall(head.encode() + b"content-type: application/json\r\n\r\n" + body)
            wait_for(lambda: any(job["status"] == "running" for job in http.get(f"{laptop.url}/jobs").json()["jobs"]))
            laptop.process.send_signal(signal.SIGTERM)
            connection.settimeout(SECONDS)
            assert connection.recv(2**16).startswith(b"HTTP/1.1 503 ")
        assert laptop.process.wait(SECONDS) == 0


def test_ctrl_c_stops_the_start(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path, FAKE_LOAD_SECONDS="60")
    laptop.start()
    wait_for(lambda: "Loading" in laptop.output and len(laptop.processes()) >= 2)
    assert laptop.stop(signal.SIGINT) == 0
    assert "Traceback" not in laptop.output


def test_a_port_in_use(laptop: Laptop, tmp_path: Path) -> None:
    data = tmp_path / "my data"
    code, output = start_error("--port", str(laptop.port), data=data)
    assert code == 3
    assert f"127.0.0.1:{laptop.port}" in output
    assert f"easel up --port {laptop.port + 1} --data '{data}'" in output


@pytest.mark.parametrize(
    ("changes", "command"),
    [({}, "easel up --port 7861"), ({"port": 65_535}, "easel up --port 7861"),
     ({"data": Path("a b"), "models": ("m.json",)}, "easel up --port 7861 --data 'a b' --model m.json"),
     ({"models": ("emoji", "b"), "memory": 12 * 10**9}, "easel up --port 7861 --model emoji --model b --memory 12"),
     ({"host": "0.0.0.0", "key": "secret"}, "easel up --port 7861 --host 0.0.0.0 --key …"),
     ({"public": PublicUrl.parse("https://h/a")}, "easel up --port 7861 --public-url https://h/a/")],
)  # fmt: skip
def test_the_command_for_another_port_keeps_the_options(changes: dict[str, Any], command: str) -> None:
    options = {
        "host": "127.0.0.1",
        "port": 7860,
        "data": Path(".easel"),
        "models": (MODEL,),
        "key": None,
        "container": FAKE,
    }
    assert Settings(**{**options, **changes}).command() == command


@pytest.mark.parametrize("url", ["example.com", "https://user@example.com/"])
def test_an_invalid_public_url(tmp_path: Path, url: str) -> None:
    code, output = start_error("--public-url", url, data=tmp_path)
    assert (code, "--public-url" in output) == (2, True)


def test_a_data_folder_in_use(laptop: Laptop) -> None:
    code, output = start_error(data=laptop.data)
    assert code == 3
    assert laptop.url in output
    assert f"easel up --port {laptop.port + 1} --data {laptop.data}-2" in output


def test_an_unknown_model(tmp_path: Path) -> None:
    code, output = start_error("--model", "nope", data=tmp_path)
    assert code == 2
    assert "'nope'" in output
    assert "emoji, flux.2-klein-4b," in output


def test_a_model_without_files(tmp_path: Path) -> None:
    code, output = start_error("--model", "z-image-turbo", data=tmp_path)
    assert code == 3
    assert "'z-image-turbo'" in output
    assert "models pull z-image-turbo" in output.replace("\n", "")


def test_a_model_without_files_is_reported_before_the_port(laptop: Laptop, tmp_path: Path) -> None:
    code, output = start_error("--model", "z-image-turbo", "--port", str(laptop.port), data=tmp_path)
    assert code == 3
    assert "'z-image-turbo'" in output


@pytest.mark.parametrize("path", ["m" * 5000, "m\0", "/dev/null", "mine.json"])
def test_an_entry_with_an_impossible_folder(tmp_path: Path, path: str) -> None:
    entry = json.loads((ROOT / "models/emoji.json").read_text())
    changes = {"id": "mine", "source": {"kind": "folder", "path": path}}
    (tmp_path / "mine.json").write_text(json.dumps(entry | changes))
    assert find(str(tmp_path / "mine")).state == "not on this machine"


def test_an_entry_by_its_path(tmp_path: Path) -> None:
    entry = json.loads((ROOT / "models/emoji.json").read_text())
    changes = {"id": "mine", "source": {"kind": "folder", "path": "m"}}
    (tmp_path / "mine.json").write_text(json.dumps(entry | changes))
    assert not find(str(tmp_path / "mine")).on_this_machine
    (tmp_path / "m").symlink_to(ROOT / "models" / MODEL)
    found = find(str(tmp_path / "mine"))
    assert (found.folder, found.profile.id) == (tmp_path / "m", "mine")


LATENT_CONSISTENCY = {"_class_name": "LatentConsistencyModelPipeline", "scheduler": ["diffusers", "LCMScheduler"]}


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda at: (at / "unet/config.json").unlink(), "unet/config.json"),
        (lambda at: (at / "unet/config.json").write_text('{"quantization_config": {"quant_method": "gguf"}}'), "gguf"),
        (lambda at: os.truncate(at / "vae/diffusion_pytorch_model.safetensors", 1000), "vae/diffusion_pytorch_model"),
        (lambda at: os.mkfifo(at / "unet/pipe"), "unet/pipe"),
        (lambda at: edit(at / "vae/config.json", block_out_channels=None), "block_out_channels"),
        (lambda at: edit(at / "text_encoder/config.json", vocab_size=7), "vocab_size"),
        (lambda at: edit(at / "scheduler/scheduler_config.json", use_beta_sigmas=True), "scipy"),
        (lambda at: edit(at / "model_index.json", **LATENT_CONSISTENCY), "entry"),
    ],
)
def test_a_model_that_would_not_load_is_refused_before_the_port(
    laptop: Laptop, tmp_path: Path, damage: Callable[[Path], Any], named: str
) -> None:
    entry = json.loads((ROOT / "models/emoji.json").read_text())
    changes = {"id": "mine", "source": {"kind": "folder", "path": "m"}}
    (tmp_path / "mine.json").write_text(json.dumps(entry | changes))
    shutil.copytree(ROOT / "models" / MODEL, tmp_path / "m")
    damage(tmp_path / "m")
    code, output = start_error("--model", str(tmp_path / "mine"), "--port", str(laptop.port), data=tmp_path / "data")
    assert code == 3
    assert named in output.replace("\n", "")
    assert find(str(tmp_path / "mine")).state.startswith("would not load")


def test_a_model_that_does_not_start(tmp_path: Path) -> None:
    code, output = start_error("--container", "tests.easel.no_container", data=tmp_path)
    assert code == 1
    assert "tests.easel.no_container" in output
    assert str(tmp_path / "model-emoji.log") in output


def test_an_api_that_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "aws_lambda_powertools.py").write_text("raise ImportError('broken on purpose')")
    data = tmp_path / "data"
    laptop = Laptop(data, PYTHONPATH=str(tmp_path))
    laptop.start()
    assert laptop.process.wait(SECONDS) == 1
    wait_for(lambda: str(data / "api.log") in laptop.output)
    laptop.stop(signal.SIGTERM)
    assert "broken on purpose" in laptop.output
    assert "Traceback" not in laptop.output


def test_a_public_host_needs_a_key(tmp_path: Path) -> None:
    code, output = start_error("--host", "0.0.0.0", data=tmp_path)
    assert code == 2
    assert "--key" in output


def test_with_a_public_host_the_key_is_checked(tmp_path: Path) -> None:
    with Laptop(tmp_path, "--host", "0.0.0.0", "--key", "s e'cret") as laptop:
        assert laptop.output.startswith("Warning: ")
        for path in ("/health", "/jobs", "/models", "/openapi.json", "/jobs/x/events"):
            assert laptop.http.get(path).status_code == 401
        assert laptop.http.get("/jobs", headers={"x-api-key": "s e'cret"}).status_code == 200
        assert b'"generated_images":["' in curl(laptop)


def test_the_root_is_html(laptop: Laptop) -> None:
    response = laptop.http.get("/")
    assert response.headers["content-type"].startswith("text/html")


def test_memory_without_the_model_is_small(laptop: Laptop) -> None:
    """The HTTP server and the API. The model has its own limit in bench/laptop.py."""
    containers = laptop.container_processes()
    processes = [process for process in laptop.processes() if process not in containers]
    assert sum(process.memory_info().rss for process in processes) < 200 * 2**20
