"""The real model on a laptop: a prompt becomes the same image by API, command line and model alone."""

import base64
import contextlib
import io
import json
import os
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageStat

from easel.laptop.container.served_model import cores
from tests.deploy.harness.deployment import finish_module, start_module
from tests.deploy.harness.forks.project import forked, project_forks
from tests.easel.running import EASEL, ENDED, MODEL, Laptop, wait_for

REQUEST: dict[str, Any] = {
    "prompt": ["a red apple", "a bus"],
    "seed": 7,
    "num_inference_steps": 4,
    "width": 256,
    "height": 256,
}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    with Laptop(tmp_path_factory.mktemp("real"), container="easel.laptop.container.server") as running:
        yield running


@pytest.fixture(scope="module")
def generated(real: Laptop) -> dict[str, Any]:
    response = real.http.post("/generate", json=REQUEST, timeout=400)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def generate_with_model_alone(request: dict[str, Any]) -> dict[str, Any]:
    """Call the four functions in a process of their own, without gateway, API and container."""
    module = ("tests.deploy.harness.generate_locally", MODEL)
    with project_forks():
        output = finish_module(start_module(*module, python=forked()), json.dumps(request))
    response: dict[str, Any] = json.loads(output.splitlines()[-1])
    return response


def easel_generate(*arguments: str, at: Path) -> str:
    """Return standard output of `easel generate`."""
    command = [*EASEL, "generate", *arguments]
    return subprocess.run(command, cwd=at, env=os.environ, check=True, stdout=subprocess.PIPE, text=True).stdout


def base64_of(files: list[bytes]) -> list[str]:
    return [base64.b64encode(file).decode() for file in files]


def test_the_laptop_generates_what_the_model_alone_generates(generated: dict[str, Any]) -> None:
    alone = generate_with_model_alone(generated["parameters"])
    assert generated["generated_images"] == alone["generated_images"]
    assert generated["seeds"] == alone["seeds"] == [7, 8]
    first, second = (base64.b64decode(image) for image in generated["generated_images"])
    assert first != second
    assert {image[:8] for image in (first, second)} == {b"\x89PNG\r\n\x1a\n"}


def test_the_links_return_the_same_images(real: Laptop, generated: dict[str, Any]) -> None:
    files = [real.http.get(image["url"]).content for image in generated["images"]]
    assert base64_of(files) == generated["generated_images"]


def test_the_command_line_writes_the_same_images(real: Laptop, generated: dict[str, Any], tmp_path: Path) -> None:
    options = ["--prompt", "a bus", "--seed", "7", "--steps", "4", "--size", "256x256", "--url", real.url]
    easel_generate("a red apple", *options, at=tmp_path)
    files = [(tmp_path / "out" / name).read_bytes() for name in ("7-a-red-apple.png", "8-a-bus.png")]
    assert base64_of(files) == generated["generated_images"]


def test_an_image_can_start_the_next_and_keeps_its_parameters(real: Laptop, tmp_path: Path) -> None:
    options = ["--steps", "5", "--seed", "7", "--embed-parameters", "--url", real.url]
    easel_generate("红苹果", *options, at=tmp_path)
    start = ["--init-image", "out/7-红苹果.png", "--strength", "0.4"]
    output = json.loads(easel_generate("a green apple", *options, *start, "--json", at=tmp_path))
    first = (tmp_path / "out/7-红苹果.png").read_bytes()
    assert output["parameters"]["init_image"] == f"sha256:{sha256(first).hexdigest()}"
    texts = [Image.open(tmp_path / name).text for name in ("out/7-红苹果.png", output["images"][0]["path"])]  # type: ignore[attr-defined]
    assert texts[0]["parameters"].startswith("红苹果\nSteps: 5, Sampler: DDIM, ")
    assert "Denoising strength: 0.4, " in texts[1]["parameters"]


def test_a_lora_changes_the_style_of_its_request_alone(real: Laptop, generated: dict[str, Any]) -> None:
    def generate(**changes: Any) -> list[str]:
        response = real.http.post("/generate", json={**REQUEST, **changes}, timeout=400)
        assert response.status_code == 200, response.text
        images: list[str] = response.json()["generated_images"]
        return images

    def difference(first: list[str], second: list[str]) -> float:
        """Return the mean distance of the pixels, in [0, 255]."""
        opened = [[Image.open(io.BytesIO(base64.b64decode(image))) for image in images] for images in (first, second)]
        means = [ImageStat.Stat(ImageChops.difference(*pair)).mean for pair in zip(*opened, strict=True)]
        return sum(sum(mean) / 3 for mean in means) / len(means)

    none, half, full = (generate(loras=[{"id": "comic", "scale": scale}]) for scale in (0, 0.5, 1))
    assert none == generated["generated_images"] == generate()
    assert generate(loras=[{"id": "comic"}]) == full
    assert difference(none, full) > 20
    assert max(difference(none, half), difference(half, full)) < 0.9 * difference(none, full)


def test_one_id_links_the_logs_of_api_and_container(real: Laptop) -> None:
    """From the response's `x-request-id` to the container's line about the images."""
    request = real.http.post("/generate", json=REQUEST, timeout=400).headers["x-request-id"]
    (accepted,) = (line for line in logged(real, "api", "message", "accepted") if line["request_id"] == request)
    lines = logged(real, "model-emoji", "event", "generated")
    assert [line["images"] for line in lines if line["inference_id"] == accepted["inference_id"]] == [2]


def logged(laptop: Laptop, name: str, key: str, value: str) -> list[dict[str, Any]]:
    """Return the JSON lines of a log whose `key` has the value."""
    lines = [json.loads(line) for line in (laptop.data / f"{name}.log").read_text().splitlines() if line[:1] == "{"]
    return [line for line in lines if line.get(key) == value]


def test_progress_has_steps_and_previews(real: Laptop) -> None:
    assert "preview" in real.http.get("/models").json()["models"][0]["features"]
    id = real.submit("a red apple", num_inference_steps=40)
    steps, previews = set(), set()

    def ended() -> bool:
        job = real.job(id)
        if job["progress"]:
            steps.add((job["progress"]["step"], job["progress"]["steps"]))
            previews.add(job["progress"]["preview"])
        return bool(job["status"] == "succeeded")

    wait_for(ended, 120)
    assert len(steps) >= 3
    assert {total for _, total in steps} == {40}
    assert len(previews) >= 3
    assert Image.open(io.BytesIO(base64.b64decode(previews.pop()))).format == "JPEG"


def submitted_and_running(real: Laptop) -> str | None:
    """Return the id of a job while its model runs, or None if it ended before that was seen."""
    id = real.submit(**REQUEST)
    job = wait_for(lambda: ((job := real.job(id))["progress"] and job) or (job["status"] in ENDED and job))
    return id if job["progress"] else None


def test_a_model_that_is_killed_during_a_job_generates_again(real: Laptop, generated: dict[str, Any]) -> None:
    id = wait_for(lambda: submitted_and_running(real), 120)
    with contextlib.suppress(ProcessLookupError):
        real.container().kill()
    job = real.outcome(id, 120)
    assert (job["status"], job["error"]) == ("succeeded", None)
    files = [real.http.get(image["url"]).content for image in job["images"]]
    assert base64_of(files) == generated["generated_images"]


def test_jobs_side_by_side_get_the_same_images(real: Laptop, generated: dict[str, Any]) -> None:
    def side_by_side() -> list[dict[str, Any]]:
        """Return jobs of which two ran at the same time, or none."""
        jobs = [real.outcome(id, 120) for id in [real.submit(**REQUEST) for _ in range(4)]]
        times = sorted((job["started_at"], job["completed_at"]) for job in jobs)
        return jobs if cores() == 1 or any(second[0] < first[1] for first, second in pairwise(times)) else []

    for job in wait_for(side_by_side, 240):  # a process follows a minute after one that died
        files = [real.http.get(image["url"]).content for image in job["images"]]
        assert base64_of(files) == generated["generated_images"]
