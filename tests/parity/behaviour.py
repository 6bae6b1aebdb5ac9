"""What the image's server does beside drawing: limits, load, death and end. Each check's sentence is its docstring."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from safetensors.torch import load_file, save_file

import easel  # noqa: F401  (lambda/ and model_code/ on the path)
from aws.errors import translate
from contract import EaselError, parse_response
from tests.parity.servers import Answer, Image

Environment = Mapping[str, str]
Seen = tuple[bool, str]
OWN_LIMIT = 6_553_500
"""Bytes of a request and of an answer, where nothing else is set."""
LOG_SECONDS = 10
"""A line goes through the server before it is in the log."""
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


def limits(server: Image, environment: Environment) -> Seen:
    """The server took its limits from the stack's variables, and has one worker."""
    pattern = r"^(Maximum Response Size|Maximum Request Size|Default workers per model): (\d+)$"
    told = dict(re.findall(pattern, server.log, re.MULTILINE))
    names = ("MMS_MAX_RESPONSE_SIZE", "MMS_MAX_REQUEST_SIZE", "SAGEMAKER_MODEL_SERVER_WORKERS")
    wanted = [environment[name] for name in names]
    return sorted(told.values()) == sorted(wanted), ", ".join(f"{name} {value}" for name, value in told.items())


def threads(server: Image, environment: Environment) -> Seen:
    """The model draws with as many threads as the instance has processors, not with the server's own one."""
    told = _line(server, "loaded")["threads"]
    return str(told) == environment.get("OMP_NUM_THREADS"), f"{told} threads"


def large_answer(server: Image, environment: Environment) -> Seen:
    """An answer beyond the server's own limit of 6,553,500 bytes arrives."""
    answer = server.call(LARGE)
    return answer.status == 200 and len(answer.body) > OWN_LIMIT, f"{answer.status}, {len(answer.body)} bytes"


def identity(server: Image, environment: Environment) -> Seen:
    """The InferenceId of a call is in the log's line of its picture; custom attributes do no harm."""
    headers = {"X_Amzn_SageMaker_Inference_Id": "parity-1", "X_Amzn_SageMaker_Custom_Attributes": "a=b"}
    answer = server.call(SHORT, **headers)
    end = time.monotonic() + LOG_SECONDS
    while (told := _line(server, "drawn").get("inference_id")) is None and time.monotonic() < end:
        time.sleep(0.1)
    return (answer.status, told) == (200, "parity-1"), f"{answer.status}, inference_id {told}"


def two_at_once(server: Image, environment: Environment) -> Seen:
    """Two calls at once give what each gives alone."""
    bodies = SHORT, LONG
    alone = [_pictures(server.call(body)) for body in bodies]
    with ThreadPoolExecutor(2) as pool:
        together = [_pictures(answer) for answer in pool.map(server.call, bodies)]
    return alone == together, "the same bytes" if alone == together else "other bytes"


def queue(server: Image, environment: Environment) -> Seen:
    """Beyond the picture in the drawing and those in the queue, a call is turned away at once as `model_busy`."""
    room = 1 + int(environment["MMS_JOB_QUEUE_SIZE"])
    with ThreadPoolExecutor(room + 3) as pool:
        first = pool.submit(server.call, LONG)
        time.sleep(0.3)
        answers = [*pool.map(server.call, [LONG] * (room + 2)), first.result()]
    return _turned_away(answers, room)


def _turned_away(answers: list[Answer], room: int) -> Seen:
    away = [answer for answer in answers if answer.status != 200]
    codes, slowest = {_told(answer) for answer in away}, max((answer.seconds for answer in away), default=0.0)
    seen = f"{len(answers) - len(away)} drawn, {len(away)} turned away with {sorted({a.status for a in away})}"
    right = (len(answers) - len(away), codes) == (room, {"model_busy"}) and slowest < 1
    return right, f"{seen} within {slowest:.2f} s: {', '.join(sorted(codes))}"


def death(server: Image, environment: Environment) -> Seen:
    """A worker that dies fails its call as `container_died`; a new one loads the model and draws the next."""
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(server.call, LONG)
        time.sleep(0.5)
        server.worker().kill()
        failed, next_one = lost.result(), server.call(SHORT)
    seen = f"{failed.status} {_told(failed)} after {failed.seconds:.1f} s"
    seen += f", then {next_one.status} in {next_one.seconds:.1f} s"
    return (_told(failed), next_one.status) == ("container_died", 200), seen


def end(server: Image, environment: Environment) -> Seen:
    """SIGTERM ends the server, a picture in the drawing or not, before SageMaker's SIGKILL after 30 s."""
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(server.call, LONG)
        time.sleep(0.5)
        began = time.monotonic()
        server.ask_to_end()
        server.process.wait(30)
        seconds = time.monotonic() - began
        cut = lost.exception()
    lot = type(cut).__name__ if cut else f"status {lost.result().status}"
    return seconds < 30, f"after {seconds:.1f} s; the call in the drawing: {lot}"


CHECKS: tuple[Callable[[Image, Environment], Seen], ...] = (
    limits, threads, identity, two_at_once, queue, death, end,
)  # fmt: skip


def check(server: Image, environment: Environment) -> list[dict[str, Any]]:
    """All of them, on a server that has drawn; it is ended at the end."""
    return [_row(one.__doc__ or "", one(server, environment)) for one in CHECKS]


def start(server: Image) -> dict[str, Any]:
    """How the server comes up."""
    ready = server.wait()
    loaded = '"loaded"' in server.log
    first = server.call(SHORT)
    told = f"/ping says 200 after {ready:.1f} s, the model {'is' if loaded else 'is not'} loaded"
    seen = f"{told}; the first call is answered {first.seconds:.1f} s later with {first.status}"
    return _row("A call that comes before the model is loaded waits for it.", (first.status == 200, seen))


def large(folder: Path, environment: Environment) -> dict[str, Any]:
    """With a model that may draw larger: the embedded one's answers all fit into the server's own limit."""
    profile = json.loads(environment["EASEL_MODEL_PROFILE"]) | {"max_side": 2048}
    with Image({**environment, "EASEL_MODEL_PROFILE": json.dumps(profile)}, folder) as server:
        server.wait()
        return _row(large_answer.__doc__ or "", large_answer(server, environment))


def lose_names(release: Path) -> None:
    """weights that are not found"""
    file = release / "text_encoder" / "model.safetensors"
    weights = {name.removeprefix("text_model."): weight for name, weight in load_file(file).items()}
    save_file(weights, file, metadata={"format": "pt"})


def lose_a_part(release: Path) -> None:
    """a part without weights, which diffusers itself refuses,"""
    for file in (release / "unet").glob("*.safetensors"):
        file.unlink()


def broken(
    release: Path, folder: Path, environment: Environment, lay: Callable[[Path], None], spoil: Callable[[Path], None]
) -> dict[str, Any]:
    """A server on a release that does not load, by what the docstring of `spoil` says."""
    shutil.copytree(release, folder / "release")
    spoil(folder / "release")
    lay(folder / "release")
    with Image(environment, folder / "server") as server:
        server.wait()
        answers = [server.call(SHORT) for _ in range(2)]
        ping = server.call(b"", path="/ping", method="GET").status
    codes = [_told(answer) for answer in answers]
    seen = f"/ping {ping}, calls {answers[0].status} {codes[0]} after {answers[0].seconds:.1f} s, then {codes[1]}"
    sentence = f"A release with {spoil.__doc__} loads once and tells each caller so, as `config_error`; /ping says 200."
    once = answers[1].seconds < 1 and server.log.count('"refused"') == 1
    right = codes == ["config_error"] * 2 and ping == 200 and once
    return _row(sentence, (right, f"{seen} after {answers[1].seconds:.2f} s"))


def _row(sentence: str, seen: Seen) -> dict[str, Any]:
    return {"check": sentence, "seen": seen[1], "holds": seen[0]}


def _line(server: Image, event: str) -> dict[str, Any]:
    """The last line of the log that model_code/ wrote of `event`; the server puts its own words before it."""
    lines = [line for line in server.log.splitlines() if f'{{"event": "{event}"' in line]
    told: dict[str, Any] = json.loads(lines[-1][lines[-1].index("{") :])
    return told


def _pictures(answer: Answer) -> Any:
    return json.loads(answer.body)["generated_images"]


def _told(answer: Answer) -> str:
    """The error code that a caller of the API gets, or `drawn`."""
    try:
        if answer.status == 200:
            parse_response(answer.body)
            return "drawn"
        text = answer.body.decode()
        told = {"Error": {"Code": "ModelError", "Message": text}, "OriginalStatusCode": answer.status}
        raise translate(ClientError({**told, "OriginalMessage": text}, "InvokeEndpoint"))
    except EaselError as error:
        return error.code
