"""The real model: a prompt becomes a picture, the same one whichever way it is asked for."""

import base64
import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from easel.laptop.catalogue import find
from tests.easel.running import EASEL, MODEL, ROOT, Laptop, until

REQUEST: dict[str, Any] = {
    "prompt": ["a red apple", "a bus"],
    "seed": 7,
    "num_inference_steps": 4,
    "width": 256,
    "height": 256,
}
ALONE = """
import json, sys
import inference
model = inference.model_fn(sys.argv[1])
data = inference.input_fn(sys.stdin.read(), "application/json")
print(inference.output_fn(inference.predict_fn(data, model), "application/json"))
"""


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    with Laptop(tmp_path_factory.mktemp("real"), container="easel.laptop.container.server") as running:
        yield running


@pytest.fixture(scope="module")
def generated(real: Laptop) -> dict[str, Any]:
    answer = real.http.post("/generate", json=REQUEST, timeout=60)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def predict_alone(request: dict[str, Any]) -> dict[str, Any]:
    """The four functions in a process of their own: no gateway, no API, no container."""
    from contract import render_profile

    entry = find(MODEL)
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(entry.folder)],
        cwd=ROOT / "model_code",
        env={**os.environ, "EASEL_MODEL_PROFILE": render_profile(entry.profile), "OMP_WAIT_POLICY": "PASSIVE"},
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
    )
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_the_laptop_draws_what_the_model_alone_draws(generated: dict[str, Any]) -> None:
    alone = predict_alone(generated["parameters"])
    assert generated["generated_images"] == alone["generated_images"]
    assert generated["seeds"] == alone["seeds"] == [7, 8]
    first, second = (base64.b64decode(image) for image in generated["generated_images"])
    assert first != second
    assert {image[:8] for image in (first, second)} == {b"\x89PNG\r\n\x1a\n"}


def test_the_files_are_the_same_pictures(real: Laptop, generated: dict[str, Any]) -> None:
    files = [real.http.get(image["url"]).content for image in generated["images"]]
    assert [base64.b64encode(file).decode() for file in files] == generated["generated_images"]


def test_the_command_line_writes_the_same_picture(real: Laptop, generated: dict[str, Any], tmp_path: Path) -> None:
    options = ["--prompt", "a bus", "--seed", "7", "--steps", "4", "--size", "256x256", "--url", real.url]
    subprocess.run([*EASEL, "generate", "a red apple", *options], cwd=tmp_path, env=os.environ, check=True)
    files = [(tmp_path / "out" / name).read_bytes() for name in ("7-a-red-apple.png", "8-a-bus.png")]
    assert [base64.b64encode(file).decode() for file in files] == generated["generated_images"]


def test_a_model_that_is_killed_while_it_draws_draws_again(real: Laptop, generated: dict[str, Any]) -> None:
    id = real.submit(**REQUEST)
    until(lambda: real.job(id)["progress"], 60)
    with contextlib.suppress(ProcessLookupError):
        real.part("easel.laptop.container.parent_watchdog").kill()
    job = real.outcome(id, 90)
    assert (job["status"], job["error"]) == ("succeeded", None)
    files = [real.http.get(image["url"]).content for image in job["images"]]
    assert [base64.b64encode(file).decode() for file in files] == generated["generated_images"]


def test_a_drawing_that_starts_from_a_drawing_tells_how_it_was_drawn(real: Laptop, tmp_path: Path) -> None:
    """The command line alone: what it wrote is what it starts from."""
    options = ["--steps", "5", "--seed", "7", "--embed-parameters", "--url", real.url]
    subprocess.run([*EASEL, "generate", "红苹果", *options], cwd=tmp_path, env=os.environ, check=True)
    start = ["--init-image", "out/7-红苹果.png", "--strength", "0.4"]
    done = subprocess.run(
        [*EASEL, "generate", "a green apple", *options, *start, "--json"],
        cwd=tmp_path, env=os.environ, check=True, capture_output=True, text=True,
    )  # fmt: skip
    told = json.loads(done.stdout)
    first = (tmp_path / "out/7-红苹果.png").read_bytes()
    assert told["parameters"]["init_image"] == f"sha256:{sha256(first).hexdigest()}"
    texts = [Image.open(tmp_path / name).text for name in ("out/7-红苹果.png", told["images"][0]["path"])]  # type: ignore[attr-defined]
    assert texts[0]["parameters"].startswith("红苹果\nSteps: 5, Sampler: DDIM, ")
    assert "Denoising strength: 0.4, " in texts[1]["parameters"]


def test_one_id_leads_from_the_gateway_to_the_model(real: Laptop) -> None:
    """From the `request_id` that the caller has to the container's own line of the picture."""
    request = real.http.post("/generate", json=REQUEST, timeout=60).headers["x-request-id"]
    (accepted,) = (line for line in logged(real, "api", "message", "accepted") if line["request_id"] == request)
    drawn = logged(real, "model", "event", "generated")
    assert [line["images"] for line in drawn if line["inference_id"] == accepted["inference_id"]] == [2]


def logged(laptop: Laptop, name: str, key: str, value: str) -> list[dict[str, Any]]:
    """The lines of a log that are of this kind."""
    lines = [json.loads(line) for line in (laptop.data / f"{name}.log").read_text().splitlines() if line[:1] == "{"]
    return [line for line in lines if line.get(key) == value]


def test_progress_tells_steps_and_shows_the_picture_so_far(real: Laptop) -> None:
    assert "preview" in real.http.get("/models").json()["models"][0]["features"]
    id = real.submit("a red apple", num_inference_steps=15)
    seen, shown = set(), set()

    def ended() -> bool:
        job = real.job(id)
        if job["progress"]:
            seen.add((job["progress"]["step"], job["progress"]["steps"]))
            shown.add(job["progress"]["preview"])
        return bool(job["status"] == "succeeded")

    until(ended, 90)
    assert len(seen) >= 3
    assert {steps for _, steps in seen} == {15}
    assert len(shown) >= 3
    assert Image.open(io.BytesIO(base64.b64decode(shown.pop()))).format == "JPEG"
