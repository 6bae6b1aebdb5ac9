"""`easel generate` with a fake API: requests, files, output and exit codes."""

from __future__ import annotations

import base64
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from contract import INIT_IMAGE_BYTES
from tests.easel.client.fake_api import DONE, FILES, ID, IMAGES, FakeApi, job
from tests.easel.running import EASEL, ROOT, SECONDS, Laptop, wait_for

START = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + 2 * (8).to_bytes(4, "big")
"""The beginning of a PNG of 8×8 pixels: as much as is checked before sending."""

Api = type[FakeApi]
Generate = Callable[..., Result]


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EASEL_", "NO_COLOR"))}
    return {**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm", "PYTHONIOENCODING": "utf-8", **variables}


# --- output --------------------------------------------------------------------------------------


def test_output_without_a_terminal(api: Api, run_generate: Generate, tmp_path: Path) -> None:
    api.jobs[:] = [job("queued", "Queued."), job("running", "Running.", 3), DONE]
    done = run_generate("--url", api.url)
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "out/7-a-red-apple.png  512×384  seed 7",
        "out/8-ein-bär-熊猫.jpg  512×384  seed 8",
    ]
    *messages, seconds = done.stderr.splitlines()
    assert messages == ["Queued.", "Running.", "Note: Upscaled."]
    assert re.fullmatch(r"2 images in \d+\.\d s", seconds)
    assert (tmp_path / "out" / "7-a-red-apple.png").read_bytes() == FILES[0]
    assert (tmp_path / "out" / "8-ein-bär-熊猫.jpg").read_bytes() == FILES[1]


@pytest.mark.parametrize("page", ["docs/tutorials/laptop.md", "docs/zh/tutorials/laptop.md"])
def test_the_tutorial_names_the_file_that_is_written(page: str) -> None:
    text = (ROOT / page).read_text()
    assert "a red apple" in text
    assert re.findall(r"out/\S*a-red-apple\S*png", text) == ["out/7-a-red-apple.png"] * 2


def test_json_output(api: Api, run_generate: Generate) -> None:
    output = json.loads(run_generate("--json", "--url", api.url).stdout)
    image = {"path": "out/7-a-red-apple.png", "width": 512, "height": 384, "seed": 7}
    assert output["images"][0] == image | {"flagged": False, "flagged_reason": None}
    assert set(output) == {"id", "parameters", "timings", "warnings", "seconds", "images"}


def in_a_terminal(api: Api, at: Path, **variables: str) -> tuple[int, str]:
    """Return the exit code and the output on a terminal of 100 columns."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [*EASEL, "generate", "a", "--url", api.url],
        cwd=at, env=environment(COLUMNS="100", **variables), stdin=terminal, stdout=terminal, stderr=terminal,
    )  # fmt: skip
    os.close(terminal)
    output = b""
    while True:
        try:
            chunk = os.read(controller, 4096)
        except OSError:
            break
        if not chunk:
            break
        output += chunk
    os.close(controller)
    return process.wait(SECONDS), output.decode()


def test_output_on_a_terminal(api: Api, tmp_path: Path) -> None:
    api.jobs[:] = [job("queued", "Queued.")] * 2 + [job("running", "", step) for step in (4, 9, 20)] + [DONE]
    code, output = in_a_terminal(api, tmp_path)
    assert code == 0
    for text in ("Queued.", "step 4/20", "step 9/20", "━", "\x1b[", "out/7-a-red-apple.png  512×384  seed 7"):
        assert text in output
    api.jobs[:] = [job("running", "Running.", 4), DONE]
    code, output = in_a_terminal(api, tmp_path, NO_COLOR="1")
    assert (code, "\x1b[" in output, "Queued." in output) == (0, False, True)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_cancels_the_job(api: Api, tmp_path: Path, number: int, code: int) -> None:
    api.jobs[:] = [job("queued", "Queued.")]
    command = [*EASEL, "generate", "a", "--url", api.url]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
    wait_for(lambda: len(api.received) >= 3)
    process.send_signal(number)
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == code
    assert errors.splitlines() == ["Queued.", "Cancelled."]
    assert [request.path for request in api.received if request.method == "DELETE"] == [f"/jobs/{ID}"]


def refuse_to_cancel(self: FakeApi) -> None:
    self.keep(None)
    self.respond(409, {"title": "The job has started", "detail": "the image is being generated"})


def hang(self: FakeApi) -> None:
    self.keep(None)
    self.rfile.read(1)  # until the client has gone


@pytest.mark.parametrize(("cancel", "signals"), [(refuse_to_cancel, 1), (hang, 2)], ids=["it runs", "second Ctrl-C"])
def test_a_job_that_goes_on_is_named(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cancel: Callable[[FakeApi], None], signals: int
) -> None:
    api.jobs[:] = [job("running", "Running.", 3)]
    monkeypatch.setattr(api, "do_DELETE", cancel)
    command = [*EASEL, "generate", "a", "--url", api.url]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
    wait_for(lambda: len(api.received) >= 3)
    for _ in range(signals):
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: process.poll() is not None or any(request.method == "DELETE" for request in api.received))
    _, errors = process.communicate(timeout=SECONDS)
    assert (process.returncode, "Traceback" in errors) == (143, False)
    assert f"GET {api.url}/jobs/{ID}" in errors.splitlines()[-1]


def test_images_of_an_output_that_is_closed_or_ascii(api: Api, tmp_path: Path) -> None:
    command = [*EASEL, "generate", "红苹果", "--url", api.url]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, cwd=tmp_path, env=environment(), stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, "Traceback" in done.stderr) == (4, False)
    variables = environment(PYTHONIOENCODING="ascii")
    done = subprocess.run([*command, "--json"], cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert (done.returncode, json.loads(done.stdout)["images"][1]["path"]) == (0, "out/8-ein-bär-熊猫.jpg")
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_an_interrupted_submission_is_mentioned(api: Api, run_generate: Generate) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("easel.client.transport.Transport._receive", interrupted)
        done = run_generate("--url", api.url)
    assert (done.exit_code, len(done.stderr.splitlines())) == (130, 1)


def test_an_unencrypted_key_is_a_warning(api: Api, run_generate: Generate, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "HTTPS" not in run_generate("--url", api.url, "--key", "secret").stderr
    monkeypatch.setattr("easel.client.transport.Transport._receive", lambda *_: pytest.fail())
    monkeypatch.setattr("easel.client.api.Api.submit", lambda *_: sys.exit(9))
    for url, warns in [("http://192.0.2.1", True), ("https://192.0.2.1", False)]:
        done = run_generate("--url", url, EASEL_KEY="secret")
        assert (done.exit_code, "HTTPS" in done.stderr) == (9, warns)
    assert "HTTPS" not in run_generate("--url", "http://192.0.2.1").stderr


# --- requests ------------------------------------------------------------------------------------


def test_every_option_reaches_the_api(api: Api, run_generate: Generate, tmp_path: Path) -> None:
    options = (
        "--prompt b --negative c -n 2 --size 512x384 --steps 9 --guidance 2.5 --seed 7 --scheduler euler --format jpeg"
    )
    done = run_generate(*options.split(), "-o", "there", EASEL_URL=f"{api.url}/", EASEL_KEY="key")
    assert done.exit_code == 0
    request = api.received[0]
    assert (request.method, request.path, request.headers["x-api-key"]) == ("POST", "/jobs", "key")
    assert len(request.headers["idempotency-key"]) >= 32
    assert request.body == {
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


def test_an_initial_image_reaches_the_api(api: Api, run_generate: Generate, tmp_path: Path) -> None:
    (tmp_path / "start.png").write_bytes(START)
    options = ["--init-image", "start.png", "--strength", "0.4", "--embed-parameters"]
    assert run_generate(*options, "--url", api.url).exit_code == 0
    body = api.received[0].body
    init_image = base64.b64encode(START).decode()
    assert body == {"prompt": ["a"], "init_image": init_image, "strength": 0.4, "embed_parameters": True}


def test_a_mask_and_margins_reach_the_api(api: Api, run_generate: Generate, tmp_path: Path) -> None:
    for name in ("start.png", "mask.png"):
        (tmp_path / name).write_bytes(START)
    options = ["--init-image", "start.png", "--mask", "mask.png", "--mask-blur", "0", "--outpaint", "left=8,top=16"]
    assert run_generate(*options, "--url", api.url).exit_code == 0
    image = base64.b64encode(START).decode()
    margins = {"left": 8, "top": 16}
    expected = {"init_image": image, "mask_image": image, "mask_blur": 0, "outpaint": margins}
    assert api.received[0].body == {"prompt": ["a"], **expected}


def test_images_to_edit_reach_the_api_in_their_order(api: Api, run_generate: Generate, tmp_path: Path) -> None:
    other = START + b"other"
    for name, file in (("cat.png", START), ("hat.png", other)):
        (tmp_path / name).write_bytes(file)
    assert run_generate("--image", "cat.png", "--image", "hat.png", "--url", api.url).exit_code == 0
    assert api.received[0].body == {"prompt": ["a"], "images": [base64.b64encode(f).decode() for f in (START, other)]}


def test_images_to_edit_are_checked_before_they_are_sent(api: Api, run_generate: Generate, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Easel")
    half = INIT_IMAGE_BYTES // 2
    for name, size in (("half.png", half), ("more.png", half + 1)):
        (tmp_path / name).write_bytes(START.ljust(size, b"\0"))
    bad = run_generate("--image", "half.png", "--image", "README.md", "--url", api.url)
    assert (bad.exit_code, api.received) == (2, [])
    assert "--image README.md" in bad.stderr
    large = run_generate("--image", "half.png", "--image", "more.png", "--url", api.url)
    assert (large.exit_code, api.received) == (2, [])
    assert "--image" in large.stderr
    assert str(INIT_IMAGE_BYTES) in large.stderr
    assert run_generate("--image", "half.png", "--image", "half.png", "--url", api.url).exit_code == 0


def test_weights_and_a_second_pass_reach_the_api(api: Api, run_generate: Generate) -> None:
    options = ["--prompt-syntax", "weighted", "--clip-skip", "2", "--hires-scale", "1.5", "--hires-steps", "20"]
    assert run_generate(*options, "--url", api.url).exit_code == 0
    hires = {"scale": 1.5, "steps": 20}
    assert api.received[0].body == {"prompt": ["a"], "prompt_syntax": "weighted", "clip_skip": 2, "hires": hires}


@pytest.mark.parametrize("margins", ["", "8", "left", "left=", "up=8", "left=8,", "left=-8", "left=8;top=8"])
def test_margins_that_cannot_be_read_are_a_usage_error(api: Api, run_generate: Generate, margins: str) -> None:
    done = run_generate("--outpaint", margins, "--url", api.url)
    assert (done.exit_code, api.received) == (2, [])
    assert "--outpaint" in done.stderr


def test_the_model_reaches_the_api(api: Api, run_generate: Generate) -> None:
    run_generate("--model", "sd-1.5", "--url", api.url)
    assert api.received[0].body == {"prompt": ["a"], "model": "sd-1.5"}


def test_loras_reach_the_api(api: Api, run_generate: Generate) -> None:
    options = ["--lora", "flat", "--lora", "lcm:0.8", "--lora", "ink:-1"]
    assert run_generate(*options, "--url", api.url).exit_code == 0
    loras = [{"id": "flat"}, {"id": "lcm", "scale": 0.8}, {"id": "ink", "scale": -1.0}]
    assert api.received[0].body == {"prompt": ["a"], "loras": loras}


def test_controls_reach_the_api_with_their_images(api: Api, run_generate: Generate, tmp_path: Path) -> None:
    names = [tmp_path / "a=b, c.png", tmp_path / "d.png"]
    for name in names:
        name.write_bytes(START)
    options = [f"pose={names[0]},scale=0.8,start=0,end=.5", f"canny={names[1]},preprocess=canny"]
    assert run_generate("--control", options[0], "--control", options[1], "--url", api.url).exit_code == 0
    encoded = base64.b64encode(START).decode()
    assert api.received[0].body["control"] == [
        {"id": "pose", "image": encoded, "scale": 0.8, "start": 0.0, "end": 0.5},
        {"id": "canny", "image": encoded, "preprocess": "canny"},
    ]


@pytest.mark.parametrize("control", ["", "pose", "pose=", "=a.png", "pose=a.png,scale=1.2.3", "pose=missing.png"])
def test_a_control_that_cannot_be_read_is_a_usage_error(api: Api, run_generate: Generate, control: str) -> None:
    done = run_generate("--control", control, "--url", api.url)
    assert (done.exit_code, api.received) == (2, [])
    assert "--control" in done.stderr


@pytest.mark.parametrize("lora", ["", ":1", "flat:", "flat:much", "flat:1:2", "flat:1e3", "flat:nan"])
def test_a_lora_that_cannot_be_read_is_a_usage_error(api: Api, run_generate: Generate, lora: str) -> None:
    done = run_generate("--lora", lora, "--url", api.url)
    assert (done.exit_code, api.received) == (2, [])
    assert "--lora" in done.stderr


def test_a_file_that_is_no_image_is_refused_by_its_name(api: Api, run_generate: Generate, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Easel")
    done = run_generate("--init-image", "README.md", "--url", api.url)
    assert (done.exit_code, api.received) == (2, [])
    assert "--init-image README.md" in done.stderr
    assert "base64" not in done.stderr


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder that nobody can write, root included, is Linux's")
def test_a_folder_that_cannot_be_written_is_refused_before_the_job(api: Api, run_generate: Generate) -> None:
    done = run_generate("-o", "/proc/self/images", "--url", api.url)
    assert (done.exit_code, api.received) == (2, [])
    assert "--out" in done.stderr


def test_the_initial_image_has_a_size_limit(api: Api, run_generate: Generate, tmp_path: Path) -> None:
    for size, code in [(INIT_IMAGE_BYTES, 0), (INIT_IMAGE_BYTES + 1, 2)]:
        (tmp_path / "start.png").write_bytes(START.ljust(size, b"\0"))
        done = run_generate("--init-image", "start.png", "--url", api.url)
        assert done.exit_code == code, done.stderr
    assert str(INIT_IMAGE_BYTES) in done.stderr
    endless = run_generate("--init-image", "/dev/zero", "--url", api.url)
    assert (endless.exit_code, endless.stderr.count(str(INIT_IMAGE_BYTES))) == (2, 1)
    missing = run_generate("--init-image", "there.png", "--url", api.url)
    assert (missing.exit_code, sum(request.method == "POST" for request in api.received)) == (2, 1)
    assert "--init-image there.png" in missing.stderr


def test_links_are_fetched_without_the_key(api: Api, run_generate: Generate) -> None:
    elsewhere = [{**IMAGES[0], "url": f"{api.url}/files/0?X-Amz-Signature=1"}]
    api.jobs[:] = [{**DONE, "images": elsewhere}]
    assert run_generate("--url", api.url, "--key", "secret").exit_code == 0
    files = [request for request in api.received if request.path.startswith("/files")]
    assert [("x-api-key" in request.headers) for request in files] == [False]


def test_a_busy_api_gets_the_request_again_with_the_same_key(api: Api, run_generate: Generate) -> None:
    submit = api.do_POST

    def refuse_once(self: FakeApi) -> None:
        api.do_POST = submit  # type: ignore[method-assign]
        self.keep(self.rfile.read(int(self.headers["content-length"])))
        self.respond(429, {"retryable": True})

    api.do_POST = refuse_once  # type: ignore[method-assign]
    assert run_generate("--url", api.url).exit_code == 0
    keys = [request.headers["idempotency-key"] for request in api.received if request.method == "POST"]
    assert len(keys) == 2
    assert len(set(keys)) == 1


# --- files ---------------------------------------------------------------------------------------


def test_no_image_is_overwritten(api: Api, run_generate: Generate, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "7-a-red-apple.png").write_bytes(b"another")
    for _ in range(2):
        assert "out/7-a-red-apple-2.png" in run_generate("--url", api.url).stdout
    assert (tmp_path / "out" / "7-a-red-apple.png").read_bytes() == b"another"


def test_the_output_folder_is_checked_before_the_request(api: Api, run_generate: Generate, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run_generate("-o", "file/out", "--url", api.url)
    assert done.exit_code == 2
    assert f"{tmp_path}/file" in done.stderr
    assert api.received == []


def test_generate_with_a_running_service(laptop: Laptop, tmp_path: Path) -> None:
    command = [*EASEL, "generate", "slow 1", "-n", "2", "--seed", "41", "--url", laptop.url]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["out/41-slow-1.png  128×128  seed 41", "out/42-slow-1.png  128×128  seed 42"]
    assert (tmp_path / "out" / "41-slow-1.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "arguments", [["--url", "localhost:7860"], ["--size", "big"], ["--steps", "many"], ["--nope"]], ids=str
)
def test_usage_errors_name_the_option(run_generate: Generate, arguments: list[str]) -> None:
    done = run_generate(*arguments)
    assert done.exit_code == 2
    assert arguments[0] in done.stderr


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
def test_values_that_cannot_be_sent_are_usage_errors(run_generate: Generate, arguments: list[str]) -> None:
    assert run_generate(*arguments).exit_code == 2
