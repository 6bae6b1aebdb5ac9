"""The article's clients, unchanged: axios with FormData, T2I.vue behind Vite's proxy, and the form in Chromium."""

import base64
import io
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from werkzeug.serving import make_server

from backends import GeneratedImage, GenerationError, ImageRequest, Limits
from cloud9.app import TEXTS, create_app
from tests.cloud9.images import image_in, png

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent


class FakeBackend:
    """Returns an image immediately, and fails for prompts with the word "fail"."""

    def limits(self) -> Limits:
        return Limits()

    def generate(self, request: ImageRequest) -> GeneratedImage:
        if "fail" in request.prompt:
            raise GenerationError("quota_exceeded")
        return GeneratedImage(png(request.width, request.height), "image/png", 7)


@pytest.fixture(scope="module")
def flask_url() -> Iterator[str]:
    server = make_server("127.0.0.1", 0, create_app(FakeBackend()), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    server.server_close()


def run_node(script: str, *arguments: str) -> Any:
    process = subprocess.run(
        ["node", str(HERE / script), str(ROOT), *arguments],
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


@pytest.fixture(scope="module")
def submit(packages: None, chromium: str) -> Iterator[Callable[..., Any]]:
    """Submit the form of a page in Chromium, and return what the page shows."""
    defaults = {"locale": "en-US", "script": True, "width": 900, "sizes": ["512", "256"], "page": "form"}
    command = ["node", str(HERE / "browser.mjs"), str(ROOT)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def send(url: str, **options: Any) -> Any:
            assert process.stdin and process.stdout
            process.stdin.write(json.dumps({"url": url, **defaults, **options}) + "\n")
            process.stdin.flush()
            shown = json.loads(process.stdout.readline())
            assert "failure" not in shown, shown["failure"]
            return shown

        yield send
        assert process.stdin
        process.stdin.close()  # ends it


def size_of(uri: str) -> tuple[int, int]:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).size


@pytest.mark.usefixtures("packages")
def test_axios_in_node(flask_url: str) -> None:
    response = run_node("axios.mjs", flask_url, "512")
    assert (response["status"], response["type"]) == (200, "text/html; charset=utf-8")
    assert image_in(response["data"]).size == (512, 256)


@pytest.mark.usefixtures("packages")
def test_axios_in_node_with_an_empty_field(flask_url: str) -> None:
    response = run_node("axios.mjs", flask_url, "")
    assert response["status"] == 400
    assert 'data-code="empty"' in response["data"]


@pytest.fixture
def vite_url(flask_url: str, tmp_path: Path) -> Iterator[str]:
    """The URL of Vite's server, as `npm run dev` starts it, with the packages of web/."""
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
            if match := re.search(r"http://127\.0\.0\.1:\d+/", line):
                yield match[0]
                break
        vite.terminate()
        vite.wait(60)


def test_t2i_vue(submit: Callable[..., Any], vite_url: str) -> None:
    result = submit(vite_url, page="t2iweb", prompt="A cute panda is sitting on the sofa")
    assert size_of(result["src"]) == (512, 256)
    assert result["box"]["width"] == 512


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
@pytest.mark.parametrize(("locale", "language"), [("en-US", "en"), ("zh-CN", "zh")], ids=["en", "zh"])
def test_form_in_chromium(submit: Callable[..., Any], flask_url: str, script: bool, locale: str, language: str) -> None:
    text, (window, size) = TEXTS[language], {"en": (360, (512, 256)), "zh": (1280, (512, 1024))}[language]
    options = {"width": window, "sizes": [str(side) for side in size]}
    result = submit(flask_url, locale=locale, script=script, prompt=text["example"], **options)
    assert result["button"] == text["submit"]
    assert size_of(result["src"]) == size
    assert result["box"]["width"] < result["page_width"] == window
    assert result["in_window"], "image, caption and warnings are below the fold"
    assert text["example"] in result["text"]
    assert f"{text['seed']} 7" in result["text"]
    assert result["errors"] == []


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_problem_in_chromium(submit: Callable[..., Any], flask_url: str, script: bool) -> None:
    result = submit(flask_url, script=script, prompt="fail")
    assert result["src"] is None
    assert TEXTS["en"]["problems"]["quota_exceeded"][0] in result["text"]
    assert result["errors"] == []
