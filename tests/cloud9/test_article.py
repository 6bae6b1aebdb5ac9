"""The article's ways in, unchanged: axios with FormData, its T2I.vue behind Vite's proxy, and its form in Chromium."""

import base64
import io
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from werkzeug.serving import make_server

from backends import DrawError, Limits, Order, Picture
from cloud9.app import create_app
from tests.cloud9.pictures import png, shown

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
in_chromium = pytest.mark.usefixtures("packages", "chromium")


class Sketch:
    """Draws at once, and the word "fail" never."""

    def limits(self) -> Limits:
        return Limits()

    def draw(self, order: Order) -> Picture:
        if "fail" in order.prompt:
            raise DrawError("quota_exceeded")
        return Picture(png(order.width, order.height), "image/png", 7)


@pytest.fixture(scope="module")
def flask_url() -> Iterator[str]:
    server = make_server("127.0.0.1", 0, create_app(Sketch()), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    server.server_close()


def node(script: str, *arguments: str) -> Any:
    run = subprocess.run(
        ["node", str(HERE / script), str(ROOT), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def drive(url: str, **options: Any) -> Any:
    usual = {"locale": "en-US", "script": True, "width": 900, "sizes": ["512", "256"], "page": "form"}
    return node("browser.mjs", url, json.dumps({**usual, **options}))


def size_of(src: str) -> tuple[int, int]:
    return Image.open(io.BytesIO(base64.b64decode(src.partition(",")[2]))).size


@pytest.mark.usefixtures("packages")
def test_axios_in_node(flask_url: str) -> None:
    found = node("axios.mjs", flask_url, "512")
    assert (found["status"], found["type"]) == (200, "text/html; charset=utf-8")
    assert shown(found["data"]).size == (512, 256)


@pytest.mark.usefixtures("packages")
def test_axios_in_node_with_a_field_left_empty(flask_url: str) -> None:
    found = node("axios.mjs", flask_url, "")
    assert found["status"] == 400
    assert "Width: The field is empty." in found["data"]


@pytest.fixture
def vite_url(flask_url: str, tmp_path: Path) -> Iterator[str]:
    """Vite's own server, as `npm run dev` starts it; it finds the packages of web/."""
    shutil.copytree(HERE / "t2iweb", tmp_path, dirs_exist_ok=True)
    (tmp_path / "node_modules").symlink_to(ROOT / "web/node_modules")
    vite = subprocess.Popen(
        ["node", "node_modules/vite/bin/vite.js"],
        cwd=tmp_path,
        env={**os.environ, "FLASK_URL": flask_url, "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert vite.stdout
    with vite.stdout:
        for line in vite.stdout:
            if found := re.search(r"http://127\.0\.0\.1:\d+/", line):
                yield found[0]
                break
        vite.terminate()
        vite.wait(10)


@in_chromium
def test_t2i_vue(vite_url: str) -> None:
    found = drive(vite_url, page="t2iweb", prompt="A cute panda is sitting on the sofa")
    assert size_of(found["src"]) == (512, 256)
    assert found["box"]["width"] == 512


@in_chromium
@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
@pytest.mark.parametrize(
    ("locale", "button", "prompt", "seed"),
    [
        ("en-US", "Generate", "A cute panda is sitting on the sofa", "seed 7"),
        ("zh-CN", "提交", "一只可爱的熊猫坐在沙发上", "种子 7"),
    ],
    ids=["en", "zh"],
)
def test_form_in_chromium(flask_url: str, script: bool, locale: str, button: str, prompt: str, seed: str) -> None:
    found = drive(flask_url, locale=locale, script=script, prompt=prompt, width=360)
    assert found["button"] == button
    assert size_of(found["src"]) == (512, 256)
    assert found["box"]["width"] < found["page_width"] == 360
    assert prompt in found["text"]
    assert seed in found["text"]
    assert found["complaints"] == []


@in_chromium
@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_problem_in_chromium(flask_url: str, script: bool) -> None:
    found = drive(flask_url, script=script, prompt="fail")
    assert found["src"] is None
    assert "The quota of this API key is spent." in found["text"]
    assert found["complaints"] == []
