"""`easel up` as a process: what it says, what it refuses, and that nothing of it stays."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from easel.laptop.catalogue import find
from tests.easel.running import EASEL, FAKE, MODEL, ROOT, Laptop, free_port, until


def refused(*options: str, data: Path) -> tuple[int, str]:
    """Exit code and words of an `easel up` that does not get up."""
    command = [*EASEL, "up", "--model", MODEL, "--container", FAKE, "--data", str(data), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


def test_the_curl_line_that_it_prints_works(laptop: Laptop) -> None:
    assert re.search(rf"Ready in [0-9.]+ s: {laptop.url}\n", laptop.said)
    line = laptop.said[laptop.said.index("curl ") : laptop.said.index("\n\nCtrl-C")]
    answer = json.loads(subprocess.run(["sh", "-c", line], capture_output=True, check=True).stdout)
    assert len(answer["generated_images"]) == len(answer["seeds"]) == 2
    assert answer["parameters"]["width"] == 512


def test_it_says_that_it_loads_and_is_ready_only_then(tmp_path: Path) -> None:
    with Laptop(tmp_path, FAKE_LOAD_SECONDS="1.5") as laptop:
        lines = laptop.said.splitlines()
        assert lines[0].startswith("Loading")
        assert float(re.findall(r"Ready in ([0-9.]+) s", laptop.said)[0]) >= 1.4
        assert laptop.http.get("/health").json()["endpoint"]["status"] == "ready"


def test_results_survive_a_restart_that_is_quick(tmp_path: Path) -> None:
    with Laptop(tmp_path) as laptop:
        id = laptop.submit(seed=7)
        picture = laptop.http.get(laptop.outcome(id)["images"][0]["url"]).content
    began = time.monotonic()
    with Laptop(tmp_path) as laptop:
        assert time.monotonic() - began < 10
        job = laptop.job(id)
        assert job["status"] == "succeeded"
        assert laptop.http.get(job["images"][0]["url"]).content == picture
        assert [one["id"] for one in laptop.http.get("/jobs").json()["jobs"]] == [id]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_no_process_stays_in_the_midst_of_work(tmp_path: Path, number: signal.Signals) -> None:
    with Laptop(tmp_path) as laptop:
        for _ in range(3):
            laptop.submit("slow 20")
        until(lambda: len(laptop.family()) >= 3)
        began = time.monotonic()
        code = laptop.stop(number)
        assert time.monotonic() - began < 8
        assert code == (0 if number != signal.SIGKILL else -signal.SIGKILL)
        assert ("Stopped." in laptop.said) == (code == 0)
        with pytest.raises(httpx.ConnectError):
            laptop.http.get("/health")


def test_ctrl_c_while_it_loads(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path, FAKE_LOAD_SECONDS="60")
    laptop.start()
    until(lambda: "Loading" in laptop.said and len(laptop.family()) >= 3)
    assert laptop.stop(signal.SIGINT) == 0
    assert "Traceback" not in laptop.said


def test_a_port_that_is_taken(laptop: Laptop, tmp_path: Path) -> None:
    code, said = refused("--port", str(laptop.port), data=tmp_path)
    assert code == 3
    assert said.splitlines() == [
        f"Error: Port {laptop.port} is in use",
        f"  where 127.0.0.1:{laptop.port}",
        "  why   another program listens there, perhaps an Easel",
        f"  fix   Stop it, or: {sys.executable} -m easel up --port {laptop.port + 1}",
    ]


def test_a_data_folder_that_is_taken(laptop: Laptop) -> None:
    code, said = refused(data=laptop.data)
    assert code == 3
    another = f"{sys.executable} -m easel up --port {laptop.port + 1} --data {laptop.data}-2"
    assert said.splitlines() == [
        f"Error: Easel already runs at {laptop.url}",
        f"  where {laptop.data}",
        "  why   it uses this data folder",
        f"  fix   Open it, or stop it (Ctrl-C in its terminal), or run another beside it: {another}",
    ]


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    code, said = refused("--model", "nope", data=tmp_path)
    assert code == 2
    assert "There is no model 'nope'" in said and "The catalogue has: emoji, flux.2-klein-4b," in said
    assert MODEL in said


def test_a_model_whose_files_are_elsewhere(tmp_path: Path) -> None:
    code, said = refused("--model", "z-image-turbo", data=tmp_path)
    assert code == 3
    assert "The files of 'z-image-turbo' are not on this machine" in said
    assert "get the files: docs/models.md, On a laptop" in said


def test_an_entry_by_its_path(tmp_path: Path) -> None:
    entry = json.loads((ROOT / "models/emoji.json").read_text())
    mine = {"id": "mine", "source": {"kind": "folder", "path": "m"}}
    (tmp_path / "mine.json").write_text(json.dumps(entry | mine))
    assert not find(str(tmp_path / "mine")).here
    (tmp_path / "m").mkdir()
    (tmp_path / "m/model_index.json").write_text("{}")
    found = find(str(tmp_path / "mine"))
    assert (found.folder, found.profile.id) == (tmp_path / "m", "mine")


def test_a_model_that_does_not_start(tmp_path: Path) -> None:
    code, said = refused("--port", str(free_port()), "--container", "tests.easel.no_container", data=tmp_path)
    assert code == 1
    assert "does not start" in said
    assert "No module named tests.easel.no_container" in said


def test_an_api_that_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "aws_lambda_powertools.py").write_text("raise ImportError('broken on purpose')")
    laptop = Laptop(tmp_path / "data", PYTHONPATH=str(tmp_path))
    laptop.start()
    until(lambda: "fix" in laptop.said)
    assert laptop.process.wait(20) == 1
    laptop.stop(signal.SIGTERM)
    assert "Error: The API does not start" in laptop.said
    assert "broken on purpose" in laptop.said


def test_other_machines_need_a_key(tmp_path: Path) -> None:
    code, said = refused("--host", "0.0.0.0", data=tmp_path)
    assert code == 2
    assert "--key" in said


def test_with_a_key_the_warning_is_given_and_the_key_is_checked(tmp_path: Path) -> None:
    with Laptop(tmp_path, "--host", "0.0.0.0", "--key", "s e'cret") as laptop:
        assert "Warning: other machines reach 0.0.0.0" in laptop.said
        for path in ("/health", "/jobs", "/models", "/openapi.json", "/jobs/x/events"):
            assert laptop.http.get(path).status_code == 401
        assert laptop.http.get("/jobs", headers={"x-api-key": "s e'cret"}).status_code == 200
        line = laptop.said[laptop.said.index("curl ") : laptop.said.index("\n\nCtrl-C")]
        assert b'"generated_images":["' in subprocess.run(["sh", "-c", line], capture_output=True, check=True).stdout


def test_the_page_shows_the_curl_line_until_it_is_built(laptop: Laptop) -> None:
    answer = laptop.http.get("/")
    assert answer.headers["content-type"].startswith("text/html")


def test_all_of_it_stays_small(laptop: Laptop) -> None:
    """Gateway and API; the model has its own budget (bench/laptop.py)."""
    ours = [member for member in laptop.family() if "easel.laptop.container.parent_watchdog" not in member.cmdline()]
    assert sum(psutil.Process(member.pid).memory_info().rss for member in ours) < 600 * 2**20
