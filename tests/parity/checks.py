"""Checks of the image's server: limits, load, a dead worker, SIGTERM. Their docstrings are the texts of the record."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from safetensors.torch import load_file, save_file

import easel.laptop  # noqa: F401  (lambda/ and model_code/ on the path)
from aws.errors import translate
from contract import EaselError, parse_response, render_attributes
from tests.deploy.harness.environment import ROOT
from tests.model_code.noise import TOLERANCE
from tests.parity import environment
from tests.parity.sandbox import mount_release
from tests.parity.servers import ImageServer, Response

Variables = Mapping[str, str]
Result = tuple[bool, str]
"""Whether the check passed, and what was observed."""
DEFAULT_LIMIT_BYTES = 6_553_500
"""The server's limit of requests and responses if no variable sets another."""
LOG_SECONDS = 10
"""The time that a line may take through the server into the log."""
SHORT = json.dumps({"prompt": "a red apple", "seed": 7}).encode()
LONG = json.dumps({"prompt": "a red apple", "seed": 7, "num_inference_steps": 100}).encode()
LARGE = json.dumps(
    {
        "prompt": ["a red apple"] * 8,
        "seed": 7,
        "num_inference_steps": 1,
        "guidance_scale": 30,
        "width": 2048,
        "height": 2048,
    }
).encode()


def limits(server: ImageServer, variables: Variables) -> Result:
    """The server uses the limits of the stack's variables and has one worker."""
    pattern = r"^(Maximum Response Size|Maximum Request Size|Default workers per model): (\d+)$"
    logged = dict(re.findall(pattern, server.log, re.MULTILINE))
    names = ("MMS_MAX_RESPONSE_SIZE", "MMS_MAX_REQUEST_SIZE", "SAGEMAKER_MODEL_SERVER_WORKERS")
    expected = [variables[name] for name in names]
    return sorted(logged.values()) == sorted(expected), ", ".join(f"{name} {value}" for name, value in logged.items())


def threads(server: ImageServer, variables: Variables) -> Result:
    """The model's process may use a thread per processor of the instance, not the server's default of one."""
    count = server.worker().environ().get("OMP_NUM_THREADS")
    return count == variables.get("OMP_NUM_THREADS"), f"{count} threads"


def large_response(server: ImageServer, variables: Variables) -> Result:
    """A response beyond the server's default limit of 6,553,500 bytes arrives."""
    response = server.request(LARGE)
    passed = response.status == 200 and len(response.body) > DEFAULT_LIMIT_BYTES
    return passed, f"{response.status}, {len(response.body)} bytes"


def inference_id(server: ImageServer, variables: Variables) -> Result:
    """The log line of a generation has the InferenceId of its request; unknown custom attributes change nothing."""
    headers = {"X_Amzn_SageMaker_Inference_Id": "parity-1", "X_Amzn_SageMaker_Custom_Attributes": "a=b"}
    response = server.request(SHORT, **headers)
    end = time.monotonic() + LOG_SECONDS
    while (logged := _log_line(server, "generated").get("inference_id")) is None and time.monotonic() < end:
        time.sleep(0.1)
    return (response.status, logged) == (200, "parity-1"), f"{response.status}, inference_id {logged}"


def replaced_model(server: ImageServer, variables: Variables) -> Result:
    """A call whose custom attributes name another model is refused as `model_replaced`."""
    response = server.request(SHORT, X_Amzn_SageMaker_Custom_Attributes=render_attributes("another"))
    return _code(response) == "model_replaced", f"{response.status} {_code(response)}"


def concurrent_requests(server: ImageServer, variables: Variables) -> Result:
    """Two requests at the same time give the same images as each of them alone."""
    bodies = SHORT, LONG
    alone = [_images(server.request(body)) for body in bodies]
    with ThreadPoolExecutor(2) as pool:
        together = [_images(response) for response in pool.map(server.request, bodies)]
    return alone == together, "the same bytes" if alone == together else "different bytes"


def full_queue(server: ImageServer, variables: Variables) -> Result:
    """With one request running and the queue full, a further request is refused at once as `model_busy`."""
    capacity = 1 + int(variables["MMS_JOB_QUEUE_SIZE"])
    with ThreadPoolExecutor(capacity + 3) as pool:
        first = pool.submit(server.request, LONG)
        time.sleep(0.3)
        responses = [*pool.map(server.request, [LONG] * (capacity + 2)), first.result()]
    return _refused_result(responses, capacity)


def _refused_result(responses: list[Response], capacity: int) -> Result:
    refused = [response for response in responses if response.status != 200]
    codes, slowest = {_code(r) for r in refused}, max((response.seconds for response in refused), default=0.0)
    generated = len(responses) - len(refused)
    statuses = sorted({response.status for response in refused})
    passed = (generated, codes) == (capacity, {"model_busy"}) and slowest < 1
    observed = f"{generated} generated, {len(refused)} refused with {statuses} within {slowest:.2f} s"
    return passed, f"{observed}: {', '.join(sorted(codes))}"


def dead_worker(server: ImageServer, variables: Variables) -> Result:
    """The request of a worker that dies fails as `container_died`; a new worker loads the model and serves the next."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(server.request, LONG)
        time.sleep(0.5)
        server.worker().kill()
        failed, following = running.result(), server.request(SHORT)
    observed = f"{failed.status} {_code(failed)} after {failed.seconds:.1f} s"
    observed += f", then {following.status} in {following.seconds:.1f} s"
    return (_code(failed), following.status) == ("container_died", 200), observed


def sigterm(server: ImageServer, variables: Variables) -> Result:
    """SIGTERM during a request ends the server within the 30 s before SageMaker's SIGKILL."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(server.request, LONG)
        time.sleep(0.5)
        started = time.monotonic()
        server.terminate()
        server.process.wait(30)
        seconds = time.monotonic() - started
        error = running.exception()
    outcome = type(error).__name__ if error else f"status {running.result().status}"
    return seconds < 30, f"after {seconds:.1f} s; the running request: {outcome}"


CHECKS: tuple[Callable[[ImageServer, Variables], Result], ...] = (
    limits, threads, inference_id, replaced_model, concurrent_requests, full_queue, dead_worker, sigterm,
)  # fmt: skip


def run_all(server: ImageServer, variables: Variables) -> list[dict[str, Any]]:
    """Run all checks on a server that has generated images. The last check ends the server."""
    return [_entry(check.__doc__ or "", check(server, variables)) for check in CHECKS]


def start(server: ImageServer) -> dict[str, Any]:
    """Return the check of a start."""
    ready = server.wait()
    loaded = '"loaded"' in server.log
    first = server.request(SHORT)
    observed = f"/ping is 200 after {ready:.1f} s, the model {'is' if loaded else 'is not'} loaded; "
    observed += f"the first response comes {first.seconds:.1f} s later with {first.status}"
    return _entry("A request before the model is loaded waits for it.", (first.status == 200, observed))


def large_response_of_a_larger_model(folder: Path, variables: Variables) -> dict[str, Any]:
    """Run `large_response` with a larger `max_side`: the embedded model's responses all fit the default limit."""
    profile = json.loads(variables["EASEL_MODEL_PROFILE"]) | {"max_side": 2048}
    with ImageServer({**variables, "EASEL_MODEL_PROFILE": json.dumps(profile)}, folder) as server:
        server.wait()
        return _entry(large_response.__doc__ or "", large_response(server, variables))


def rename_weights(release: Path) -> None:
    """weights under unknown names"""
    file = release / "text_encoder" / "model.safetensors"
    weights = {f"newer.{name}": weight for name, weight in load_file(file).items()}
    save_file(weights, file, metadata={"format": "pt"})


def remove_unet_weights(release: Path) -> None:
    """a component without weights"""
    for file in (release / "unet").glob("*.safetensors"):
        file.unlink()


def damaged_release(
    release: Path, folder: Path, variables: Variables, damage: Callable[[Path], None]
) -> dict[str, Any]:
    """Return the check of a release that does not load. The docstring of `damage` says why."""
    shutil.copytree(release, folder / "release")
    damage(folder / "release")
    mount_release(folder / "release")
    with ImageServer(variables, folder / "server") as server:
        server.wait()
        responses = [server.request(SHORT) for _ in range(2)]
        ping = server.request(b"", path="/ping", method="GET").status
    codes = [_code(response) for response in responses]
    observed = f"/ping {ping}, requests {responses[0].status} {codes[0]} after {responses[0].seconds:.1f} s, "
    observed += f"then {codes[1]} after {responses[1].seconds:.2f} s"
    once = responses[1].seconds < 1 and server.log.count('"refused"') == 1
    passed = codes == ["config_error"] * 2 and ping == 200 and once
    text = f"A release with {damage.__doc__} loads once, and each request fails as `config_error`; /ping is 200."
    return _entry(text, (passed, observed))


def no_noise_left() -> dict[str, Any]:
    """No scheduler of the catalogue leaves noise in the image, with the image's diffusers."""
    command: list[str | Path] = [environment.VENV / "bin" / "python", "-W", "ignore", "-m", "tests.model_code.noise"]
    paths = os.pathsep.join(str(ROOT / folder) for folder in ("", "lambda", "model_code"))
    output = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": paths}, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    left: dict[str, float] = json.loads(output.splitlines()[-1])
    largest = max(left, key=lambda name: left[name])
    observed = f"at most {left[largest]:.4f}, by {largest}"
    return _entry(no_noise_left.__doc__ or "", (left[largest] < TOLERANCE, observed))


def container_tests() -> dict[str, Any]:
    """The tests of the container's code pass with the image's versions."""
    skipped = (
        f"--ignore=tests/model_code/{name}" for name in ("loading/test_every_folder.py", "images/test_infotext.py")
    )
    command = [
        str(environment.VENV / "bin" / "python"),
        "-m",
        "pytest",
        "-q",
        "-W",
        "default",
        "-p",
        "no:cacheprovider",
    ]
    paths = os.pathsep.join(str(ROOT / folder) for folder in ("", "lambda", "model_code"))
    ended = subprocess.run(
        [*command, *skipped, "tests/model_code"], cwd=ROOT, env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", ended.stdout, re.MULTILINE)
    passed = re.search(r"\d+ passed", ended.stdout)
    observed = "; ".join([passed[0] if passed else ended.stdout[-200:], *failed[:5]])
    return _entry(container_tests.__doc__ or "", (ended.returncode == 0, observed))


def _entry(text: str, result: Result) -> dict[str, Any]:
    return {"check": text, "observed": result[1], "passed": result[0]}


def _log_line(server: ImageServer, event: str) -> dict[str, Any]:
    """Return the last line of model_code/ with this event. The server puts a prefix before it."""
    lines = [line for line in server.log.splitlines() if f'{{"event": "{event}"' in line]
    fields: dict[str, Any] = json.loads(lines[-1][lines[-1].index("{") :])
    return fields


def _images(response: Response) -> Any:
    return json.loads(response.body)["generated_images"]


def _code(response: Response) -> str:
    """Return the error code that a caller of the API gets, or `generated`."""
    try:
        if response.status == 200:
            parse_response(response.body)
            return "generated"
        text = response.body.decode()
        error = {"Error": {"Code": "ModelError", "Message": text}, "OriginalStatusCode": response.status}
        raise translate(ClientError({**error, "OriginalMessage": text}, "InvokeEndpoint"))
    except EaselError as error:
        return error.code
