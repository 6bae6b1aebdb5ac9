"""The commands of docs/how-to/flask-app.md, and an image of the embedded model through the whole app."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from flask import Flask

import cloud9.app
from tests.cloud9.images import image_in
from tests.deploy.emulator.ports import free_port

ROOT = Path(__file__).parents[2]
APP = [sys.executable, "cloud9/app.py"]
GUNICORN = [sys.executable, "-m", "gunicorn", "--chdir", "cloud9", "--worker-class", "gthread", "--threads", "8"]


@contextmanager
def running(command: list[str], url: str, log: Path, **variables: str) -> Iterator[None]:
    """Run a command whose output goes to `log`. Enter when `url` responds."""
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **variables}, stdout=file, stderr=file)
    try:
        for _ in range(600):
            assert process.poll() is None, log.read_text()
            if responds(url):
                break
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def responds(url: str) -> bool:
    try:
        return httpx.get(url, timeout=10).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def easel_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("easel"), free_port()
    command = [sys.executable, "-m", "easel", "up", "--port", str(port), "--data", str(folder / "data")]
    url = f"http://127.0.0.1:{port}"
    with running(command, f"{url}/health", folder / "log"):
        yield url


@pytest.mark.slow
@pytest.mark.parametrize("server", ["flask", "gunicorn"])
def test_image_end_to_end(easel_url: str, server: str, tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    gunicorn = [*GUNICORN, "--bind", f"127.0.0.1:{port}", "--timeout", "900", "app:create_app()"]
    command = gunicorn if server == "gunicorn" else [*APP, "--port", str(port)]
    with running(command, url, tmp_path / "log", EASEL_URL=easel_url, EASEL_KEY="the-key"):
        assert 'max="1024" step="8"' in httpx.get(url, timeout=60).text
        form = {"inputContent": (None, "a red apple"), "width": (None, "256"), "length": (None, "128")}
        response = httpx.post(f"{url}/predictor", files=form, timeout=400)
    assert response.status_code == 200
    image = image_in(response.text)
    assert image.size == (256, 128)
    assert len(image.resize((16, 16)).convert("RGB").getcolors(256) or ()) > 8
    log = (tmp_path / "log").read_text()
    assert "apple" not in log
    assert "the-key" not in log


def test_other_host_names_are_rejected(tmp_path: Path) -> None:
    port = free_port()
    with running([*APP, "--port", str(port)], f"http://127.0.0.1:{port}", tmp_path / "log"):
        assert httpx.get(f"http://127.0.0.1:{port}", headers={"host": "rebound.example"}, timeout=60).status_code == 400
        assert httpx.get(f"http://localhost:{port}", timeout=60).status_code == 200


@pytest.mark.parametrize(("host", "warns"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_host_that_is_not_loopback_prints_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], host: str, warns: bool
) -> None:
    runs: list[dict[str, object]] = []
    monkeypatch.setattr(Flask, "run", lambda _, **options: runs.append(options))
    monkeypatch.setattr(sys, "argv", ["app.py", "--host", host])
    cloud9.app.main()
    assert runs == [{"host": host, "port": 8080}]
    assert ("no password" in capsys.readouterr().err) == warns


def test_default_is_loopback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    runs: list[dict[str, object]] = []
    monkeypatch.setattr(Flask, "run", lambda _, **options: runs.append(options))
    monkeypatch.setattr(sys, "argv", ["app.py"])
    cloud9.app.main()
    assert runs == [{"host": "127.0.0.1", "port": 8080}]
    assert capsys.readouterr().err == ""


def test_documented_variables_and_files_exist() -> None:
    page = (ROOT / "docs/how-to/flask-app.md").read_text()
    code = "".join(path.read_text() for path in (ROOT / "cloud9").glob("*.py"))
    for variable in set(re.findall(r"\bEASEL_\w+", page)):
        assert f'"{variable}"' in code
    assert (
        "--chdir cloud9 --bind 127.0.0.1:8080 --worker-class gthread --threads 8 --timeout 900 'app:create_app()'"
        in page
    )
    for path in re.findall(r"cloud9/\w+\.\w+", page):
        assert (ROOT / path).exists()
