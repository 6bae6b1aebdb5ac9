"""The command line: words, files and exit codes, against an API that is made up."""

from __future__ import annotations

import json
import os
import pty
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner

from contract import INIT_IMAGE_BYTES
from easel.cli import app as cli
from stacks.config.catalogue import model_ids
from tests.easel.running import EASEL, ROOT, Laptop, free_port, until

ID = "f" * 44
PARAMETERS = {"prompt": ["a red apple", "Ein Bär & 熊猫!"], "num_images_per_prompt": 1}
IMAGES = [
    {"url": "/files/0?signature=x", "seed": 7, "width": 512, "height": 384, "media_type": "image/png"},
    {"url": "/files/1?signature=x", "seed": 8, "width": 512, "height": 384, "media_type": "image/jpeg"},
]


def job(status: str, message: str = "", step: int | None = None, **more: Any) -> dict[str, Any]:
    progress = {"step": step, "steps": 20} if step else None
    plain = {"id": ID, "status": status, "message": message, "progress": progress, "parameters": PARAMETERS}
    return {**plain, "images": [], "timings": {"draw_s": 1.5}, "warnings": [], "error": None, **more}


DONE = job("succeeded", "The pictures are ready.", images=IMAGES, warnings=["Drawn at 128×128 and enlarged."])


class Api(BaseHTTPRequestHandler):
    """Answers GET /jobs/… with `looks`, one after the other, the last one again and again."""

    looks: ClassVar[list[Any]] = []
    submit: ClassVar[tuple[int, Any]] = (202, {})
    asked: ClassVar[list[tuple[str, str, dict[str, str], Any]]] = []

    def do_POST(self) -> None:
        self.note(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.answer(*self.submit)

    def do_GET(self) -> None:
        self.note(None)
        if self.path.startswith("/files/"):
            self.send(200, b"picture " + self.path[7:8].encode())
        else:
            self.answer(200, self.looks.pop(0) if len(self.looks) > 1 else self.looks[0])

    def do_DELETE(self) -> None:
        self.note(None)
        self.answer(200, job("cancelled", "The job was cancelled before it started."))

    def note(self, body: Any) -> None:
        self.asked.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))

    def answer(self, status: int, value: Any) -> None:
        self.send(status, json.dumps(value).encode())

    def send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def api() -> Iterator[tuple[str, type[Api]]]:
    handler = type("Handler", (Api,), {"looks": [DONE], "submit": (202, job("queued", "It waits.")), "asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}", handler
        server.shutdown()


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EASEL_", "NO_COLOR"))}
    return {**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm"}


def easel(*arguments: str, at: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*EASEL, *arguments], cwd=at, env={**environment(), **variables}, capture_output=True, text=True, timeout=60
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_what_a_pipe_gets(api: tuple[str, type[Api]], tmp_path: Path) -> None:
    url, handler = api
    handler.looks[:] = [job("queued", "It waits."), job("running", "It is drawn.", 3), DONE]
    done = easel("generate", "a red apple", "--prompt", "Ein Bär & 熊猫!", "--url", url, at=tmp_path)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "out/7-a-red-apple.png  512×384  seed 7",
        "out/8-ein-bär-熊猫.jpg  512×384  seed 8",
    ]
    waiting, drawing, warning, seconds = done.stderr.splitlines()
    assert (waiting, drawing, warning) == ("It waits.", "It is drawn.", "Note: Drawn at 128×128 and enlarged.")
    assert re.fullmatch(r"2 pictures in \d+\.\d s", seconds)
    assert (tmp_path / "out" / "7-a-red-apple.png").read_bytes() == b"picture 0"
    assert (tmp_path / "out" / "8-ein-bär-熊猫.jpg").read_bytes() == b"picture 1"


def test_a_folder_that_is_none_is_told_before_anything_is_drawn(api: tuple[str, type[Api]], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = easel("generate", "a", "-o", "file/out", "--url", api[0], at=tmp_path)
    assert (done.returncode, done.stderr.splitlines()[2]) == (2, f"  why   {tmp_path}/file is no folder")
    assert api[1].asked == []


def test_every_option_reaches_the_api(api: tuple[str, type[Api]], tmp_path: Path) -> None:
    url, handler = api
    options = (
        "--prompt b --negative c -n 2 --size 512x384 --steps 9 --guidance 2.5 --seed 7 --scheduler euler --format jpeg"
    )
    done = easel("generate", "a", *options.split(), "-o", "there", at=tmp_path, EASEL_URL=f"{url}/", EASEL_KEY="key")
    assert done.returncode == 0
    method, path, headers, body = handler.asked[0]
    assert (method, path, headers["x-api-key"]) == ("POST", "/jobs", "key")
    assert len(headers["idempotency-key"]) >= 32
    assert body == {
        "prompt": ["a", "b"],
        "negative_prompt": "c",
        "width": 512,
        "height": 384,
        "num_images_per_prompt": 2,
        "num_inference_steps": 9,
        "guidance_scale": 2.5,
        "seed": 7,
        "scheduler": "euler",
        "output_format": "jpeg",
    }
    assert len(list((tmp_path / "there").iterdir())) == 2


def test_a_picture_to_start_from_reaches_the_api(api: tuple[str, type[Api]], tmp_path: Path) -> None:
    url, handler = api
    (tmp_path / "start.png").write_bytes(b"picture")
    options = ["--init-image", "start.png", "--strength", "0.4", "--embed-parameters"]
    assert easel("generate", "a", *options, "--url", url, at=tmp_path).returncode == 0
    *_, body = handler.asked[0]
    assert body == {"prompt": ["a"], "init_image": "cGljdHVyZQ==", "strength": 0.4, "embed_parameters": True}


def test_a_picture_that_cannot_be_sent_is_not(api: tuple[str, type[Api]], tmp_path: Path) -> None:
    """The largest is sent, one byte more is not."""
    url, handler = api
    for size, code in [(INIT_IMAGE_BYTES, 0), (INIT_IMAGE_BYTES + 1, 2)]:
        (tmp_path / "start.png").write_bytes(bytes(size))
        done = easel("generate", "a", "--init-image", "start.png", "--url", url, at=tmp_path)
        assert done.returncode == code, done.stderr
    assert f"At most {INIT_IMAGE_BYTES} bytes" in " ".join(done.stderr.replace("at most", "At most").split())
    missing = easel("generate", "a", "--init-image", "there.png", "--url", url, at=tmp_path)
    assert (missing.returncode, len([call for call in handler.asked if call[0] == "POST"])) == (2, 1)
    assert "--init-image there.png" in missing.stderr


def test_links_are_asked_without_the_key(api: tuple[str, type[Api]], tmp_path: Path) -> None:
    url, handler = api
    elsewhere = [{**IMAGES[0], "url": f"{url}/files/0?X-Amz-Signature=1"}]
    handler.looks[:] = [{**DONE, "images": elsewhere}]
    assert easel("generate", "a", "--url", url, "--key", "secret", at=tmp_path).returncode == 0
    assert [("x-api-key" in headers) for _, path, headers, _ in handler.asked if path.startswith("/files")] == [False]


def test_json_for_programs(api: tuple[str, type[Api]], tmp_path: Path) -> None:
    done = easel("generate", "a", "--json", "--url", api[0], at=tmp_path)
    told = json.loads(done.stdout)
    assert told["images"][0] == {"path": "out/7-a-red-apple.png", "width": 512, "height": 384, "seed": 7}
    assert set(told) == {"id", "parameters", "timings", "warnings", "seconds", "images"}


def test_no_picture_is_overwritten(api: tuple[str, type[Api]], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "7-a-red-apple.png").write_bytes(b"another")
    for _ in range(2):
        assert "out/7-a-red-apple-2.png" in easel("generate", "a", "--url", api[0], at=tmp_path).stdout
    assert (tmp_path / "out" / "7-a-red-apple.png").read_bytes() == b"another"


def in_a_terminal(*arguments: str, at: Path, **variables: str) -> tuple[int, str]:
    """Exit code, and what a terminal of 100 columns got."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [*EASEL, *arguments],
        cwd=at, env={**environment(), "COLUMNS": "100", **variables}, stdin=terminal, stdout=terminal, stderr=terminal,
    )  # fmt: skip
    os.close(terminal)
    got = b""
    while True:
        try:
            more = os.read(controller, 4096)
        except OSError:
            break
        if not more:
            break
        got += more
    os.close(controller)
    return process.wait(20), got.decode()


def test_what_a_terminal_gets(api: tuple[str, type[Api]], tmp_path: Path) -> None:
    url, handler = api
    handler.looks[:] = [job("queued", "It waits.")] * 2 + [job("running", "", step) for step in (4, 9, 20)] + [DONE]
    code, got = in_a_terminal("generate", "a", "--url", url, at=tmp_path)
    assert code == 0
    for text in ("It waits.", "step 4/20", "step 9/20", "━", "\x1b[", "out/7-a-red-apple.png  512×384  seed 7"):
        assert text in got
    handler.looks[:] = [job("running", "It is drawn.", 4), DONE]
    code, got = in_a_terminal("generate", "a", "--url", url, at=tmp_path, NO_COLOR="1")
    assert (code, "\x1b[" in got, "It waits." in got) == (0, False, True)


TYPED = " ".join(EASEL)


def refusal(code: str, status: int, **more: Any) -> tuple[int, dict[str, Any]]:
    return status, {
        "title": "A side is not a multiple of 8",
        "status": status,
        "code": code,
        "retryable": False,
        **more,
    }


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (refusal("off_grid", 400, detail="width 511 is off", hint="Send 504.", invalid_params=[{"name": "width"}]), 2,
         ["Error: A side is not a multiple of 8", "  where POST {url}/jobs · width", "  why   width 511 is off",
          "  fix   Send 504."]),
        ((403, {"message": "Forbidden"}), 3,
         ["Error: The API answered 403", "  where POST {url}/jobs", "  why   Forbidden",
          f"  fix   Give the key: --key or EASEL_KEY. That of a deploy: {TYPED} outputs --export"]),
        (refusal("unauthorized", 401, title="No valid API key", detail="x", hint="y"), 3,
         ["Error: No valid API key", "  where POST {url}/jobs", "  why   x",
          f"  fix   Give the key: --key or EASEL_KEY. That of a deploy: {TYPED} outputs --export"]),
        ((500, {"title": "Something went wrong in Easel", "detail": "x", "hint": "y"}), 1,
         ["Error: Something went wrong in Easel", "  where POST {url}/jobs", "  why   x", "  fix   y"]),
        ((200, ["no job"]), 3,
         ["Error: This is not Easel", "  where {url}", "  why   its answer is not a job", "  fix   Check --url."]),
        ((405, {}), 2,
         ["Error: The API answered 405", "  where POST {url}/jobs", "  why   Method Not Allowed",
          "  fix   Check --url."]),
        ((201, {"id": 101}), 3,
         ["Error: This is not Easel", "  where {url}", "  why   its answer is not a job", "  fix   Check --url."]),
    ],
)  # fmt: skip
def test_a_refusal_has_four_parts(
    api: tuple[str, type[Api]], tmp_path: Path, answer: tuple[int, Any], code: int, words: list[str]
) -> None:
    url, handler = api
    handler.submit = answer
    done = easel("generate", "a", "--url", url, at=tmp_path)
    assert done.stderr.splitlines() == [line.format(url=url) for line in words]
    assert (done.returncode, done.stdout) == (code, "")


def test_a_failed_job(api: tuple[str, type[Api]], tmp_path: Path) -> None:
    url, handler = api
    handler.looks[:] = [job("failed", error={"code": "blank_output", "message": "all black", "hint": "Another seed."})]
    done = easel("generate", "a", "--url", url, at=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-4:] == [
        "Error: The model drew only black", f"  where job {ID}", "  why   all black", "  fix   Another seed.",
    ]  # fmt: skip


def test_a_busy_api_is_asked_again_with_the_same_key(api: tuple[str, type[Api]], tmp_path: Path) -> None:
    url, handler = api
    handler.submit = (429, {"retryable": True})

    def relent() -> None:
        until(lambda: handler.asked)
        handler.submit = (202, job("queued"))

    relenting = threading.Thread(target=relent)
    relenting.start()
    assert easel("generate", "a", "--url", url, at=tmp_path).returncode == 0
    relenting.join()
    keys = [headers["idempotency-key"] for method, _, headers, _ in handler.asked if method == "POST"]
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_nobody_answers(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = easel("generate", "a", "--url", url, at=tmp_path)
    assert done.returncode == 3
    assert done.stderr.splitlines()[:2] == ["Error: No Easel answers", f"  where {url}"]
    assert "make up" in done.stderr
    assert "--url" in done.stderr


def test_a_proxy_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    done = easel("generate", "a", "--url", "https://easel.example", at=tmp_path, ALL_PROXY="socks9://127.0.0.1:1")
    assert (done.returncode, done.stderr.splitlines()[0]) == (3, "Error: The proxy cannot be used")


@pytest.mark.parametrize(
    "arguments", [["--url", "localhost:7860"], ["--size", "big"], ["--steps", "many"], ["--nope"]], ids=str
)
def test_wrong_usage(tmp_path: Path, arguments: list[str]) -> None:
    done = easel("generate", "a", *arguments, at=tmp_path)
    assert done.returncode == 2
    assert arguments[0] in done.stderr


def test_ctrl_c_cancels_the_job(api: tuple[str, type[Api]], tmp_path: Path) -> None:
    url, handler = api
    handler.looks[:] = [job("queued", "It waits.")]
    process = subprocess.Popen(
        [*EASEL, "generate", "a", "--url", url], cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True
    )
    until(lambda: len(handler.asked) >= 3)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert said.splitlines() == ["It waits.", "The job was cancelled before it started."]
    assert [path for method, path, _, _ in handler.asked if method == "DELETE"] == [f"/jobs/{ID}"]


def test_a_job_that_is_lost_from_sight_is_named(api: tuple[str, type[Api]], tmp_path: Path) -> None:
    url, handler = api
    handler.do_GET = lambda self: self.answer(401, {"title": "No valid API key", "detail": "x"})  # type: ignore[method-assign]
    done = easel("generate", "a", "--url", url, at=tmp_path)
    assert (done.returncode, done.stderr.splitlines()[1:3]) == (
        3, [f"The job goes on: GET {url}/jobs/{ID} has the pictures when it is done.", "Error: No valid API key"],
    )  # fmt: skip


def seconds_of(program: str, *arguments: str) -> tuple[float, str]:
    """Processor time of the quickest of three runs, and what the last one printed."""
    took = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-c", program, *arguments]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(took), done.stdout


@pytest.mark.parametrize("command", [[], ["generate"], ["doctor"]], ids=str)
def test_help_is_quick_and_needs_nothing(command: list[str]) -> None:
    """As quick as typer, which needs pydantic: 0.3 s at most on a machine that is not busy (bench/laptop.py)."""
    least, _ = seconds_of("import typer, pydantic; pydantic.TypeAdapter(int)")
    took, words = seconds_of(
        "import atexit, socket, sys\n"
        "socket.socket.connect = lambda *_: sys.exit('the network was used')\n"
        "heavy = {'httpx', 'rich', 'torch', 'starlette', 'uvicorn', 'boto3', 'botocore'}\n"
        "atexit.register(lambda: print(heavy & set(sys.modules)))\n"
        "from easel.cli import app; app()",
        *command,
        "--help",
    )
    assert words.startswith("Usage:")
    assert words.splitlines()[-1] == "set()"
    assert took < 2 * least


def test_help_has_examples_that_exist(tmp_path: Path) -> None:
    for command in ("up", "generate", "doctor", "outputs", "leftovers", "pause", "resume"):
        words = easel(command, "--help", at=tmp_path).stdout
        options, _, rest = re.sub(r"\$\(.*\)", "", words).partition("Examples:")
        examples = "\n".join(re.findall(rf" easel {command}(.*)", rest))
        used = set(re.findall(r"(?<=\s)-{1,2}[a-z-]+", examples))
        assert used
        assert used <= set(re.findall(r"(?<=\s)-{1,2}[a-z-]+", options))


def test_models_and_version(tmp_path: Path) -> None:
    listed = easel("models", at=tmp_path).stdout.splitlines()
    assert len(listed) == len(list((ROOT / "models").glob("*.json")))
    assert {line.split()[0]: line.rsplit("  ", 1)[-1] for line in listed} == {
        name: "here" if name == "emoji" else "not on this machine" for name in model_ids(ROOT)
    }
    assert re.fullmatch(r"easel \d+\.\d+\.\d+\n", easel("--version", at=tmp_path).stdout)


def test_an_entry_that_cannot_be_read_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    shutil.copy(ROOT / "models" / "emoji.json", tmp_path / "models")
    (tmp_path / "models" / "aa.json").write_text("{")
    monkeypatch.setattr("easel.laptop.catalogue.ROOT", tmp_path)
    told = CliRunner().invoke(cli, ["models"])
    assert (told.exit_code, told.stdout.split()[0]) == (2, "emoji")
    assert told.stderr.startswith("Error: The model 'aa' cannot be read\n")
    assert "aa.json: it is not JSON" in told.stderr


def test_the_whole_way(laptop: Laptop, tmp_path: Path) -> None:
    done = easel("generate", "slow 1", "-n", "2", "--seed", "41", "--url", laptop.url, at=tmp_path)
    assert done.stdout.splitlines() == ["out/41-slow-1.png  128×128  seed 41", "out/42-slow-1.png  128×128  seed 42"]
    assert "The picture is being drawn." in done.stderr
    assert (tmp_path / "out" / "41-slow-1.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--url", "http://[::1"],
        ["--url", "http://127.0.0.1:abc"],
        ["--url", "http://example..com"],
        ["--key", "é"],
        ["--key", "k\r"],
        ["--guidance", "nan"],
        ["--size", f"{'9' * 5000}x64"],
    ],
    ids=["bracket", "port", "dots", "key", "end of a line", "nan", "digits"],
)
def test_what_cannot_be_sent_is_said(arguments: list[str]) -> None:
    told = subprocess.run([*EASEL, "generate", "a", *arguments], capture_output=True, text=True, timeout=60)
    assert told.returncode == 2
    assert "Traceback" not in told.stderr
    assert "cannot be" in told.stderr or "512x512" in told.stderr
