"""`easel generate`: asks for pictures, shows how far they are, and writes the files."""

from __future__ import annotations

import base64
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contract import ERRORS, INIT_IMAGE_BYTES
from easel.client.api import Api
from easel.console.errors import ENVIRONMENT, FAILED, USAGE, CommandError
from easel.console.terminal import Terminal

ENDED = ("succeeded", "failed", "cancelled")
SHORTEST_LOOK, LONGEST_LOOK = 0.2, 2.0
"""Seconds between two looks at a job: short while it moves, longer while it waits."""
SLUG_CHARS = 40


@dataclass(frozen=True)
class Picture:
    """One file that was written."""

    path: str
    width: int
    height: int
    seed: int

    def line(self) -> str:
        return f"{self.path}  {self.width}×{self.height}  seed {self.seed}"


def run(api: Api, request: Mapping[str, Any], folder: Path, as_json: bool) -> None:
    """Writes the pictures and prints one line each, or one JSON object. Raises CommandError."""
    terminal = Terminal()
    _check_folder(folder)
    began = time.monotonic()
    job = api.submit(request)
    try:
        job = _watch(api, job, terminal)
    except KeyboardInterrupt:
        terminal.say(_cancel(api, job["id"]))
        raise
    except CommandError as error:
        if error.code == ENVIRONMENT:
            terminal.say(f"The job goes on: GET {api.url}/jobs/{job['id']} has the pictures when it is done.")
        raise
    _check(job)
    pictures = _save(api, job, folder)
    seconds = round(time.monotonic() - began, 1)
    for warning in job["warnings"]:
        terminal.say(f"Note: {warning}")
    if as_json:
        told = {name: job[name] for name in ("id", "parameters", "timings", "warnings")}
        images = [asdict(picture) for picture in pictures]
        print(json.dumps({**told, "seconds": seconds, "images": images}, ensure_ascii=False))
    else:
        print(*(picture.line() for picture in pictures), sep="\n")
        terminal.say(f"{len(pictures)} {'picture' if len(pictures) == 1 else 'pictures'} in {seconds} s")


def encode(file: Path) -> str:
    """base64 of the file. Raises CommandError where it is missing or too large to be sent."""
    try:
        body = file.read_bytes()
    except OSError as error:
        why, fix = error.strerror or str(error), "Give a PNG, WebP or JPEG file."
        raise CommandError(
            "The picture cannot be read", where=f"--init-image {file}", why=why, fix=fix, code=USAGE
        ) from None
    if len(body) > INIT_IMAGE_BYTES:
        why, fix = f"it has {len(body)} bytes", f"Scale it down: at most {INIT_IMAGE_BYTES} bytes."
        raise CommandError("The picture is too large", where=f"--init-image {file}", why=why, fix=fix, code=USAGE)
    return base64.b64encode(body).decode("ascii")


def _watch(api: Api, job: dict[str, Any], terminal: Terminal) -> dict[str, Any]:
    pause = SHORTEST_LOOK
    with terminal.following() as show:
        while job["status"] not in ENDED:
            show(job)
            time.sleep(pause)
            pause = SHORTEST_LOOK if job["progress"] else min(pause * 1.2, LONGEST_LOOK)
            job = api.job(job["id"])
    return job


def _cancel(api: Api, id: str) -> str:
    try:
        return str(api.cancel(id)["message"])
    except CommandError as error:
        return f"The job {id} was not cancelled: {error.why}."


def _check(job: Mapping[str, Any]) -> None:
    if job["status"] == "succeeded":
        return
    error = job["error"] or {"code": "cancelled", "message": job["message"], "hint": ""}
    kind = ERRORS.get(error["code"])
    what = kind.title if kind else error["code"]
    raise CommandError(what, where=f"job {job['id']}", why=error["message"], fix=error["hint"], code=FAILED)


def _save(api: Api, job: Mapping[str, Any], folder: Path) -> list[Picture]:
    prompts, each = job["parameters"]["prompt"], job["parameters"]["num_images_per_prompt"]
    pictures = []
    for i, image in enumerate(job["images"]):
        name = f"{image['seed']}-{_slug(prompts[i // each])}.{image['media_type'].split('/')[1]}"
        path = _write(folder, name.replace(".jpeg", ".jpg"), api.picture(image["url"]))
        pictures.append(Picture(str(path), image["width"], image["height"], image["seed"]))
    return pictures


def _slug(prompt: str) -> str:
    return re.sub(r"\W+", "-", prompt.lower())[:SLUG_CHARS].strip("-") or "picture"


def _write(folder: Path, name: str, body: bytes) -> Path:
    """Never over another picture: the same seed and prompt can be drawn in other ways."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path, count = folder / name, 1
        while path.exists() and path.read_bytes() != body:
            count += 1
            path = folder / f"{Path(name).stem}-{count}{Path(name).suffix}"
        path.write_bytes(body)
    except OSError as error:
        raise _unwritable(folder, error.strerror or str(error)) from None
    return path


def _check_folder(folder: Path) -> None:
    """Before anything is drawn, and paid for: whether files could be written there. Makes nothing."""
    try:
        there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    except OSError as error:  # a name that is too long, a folder that is closed to us
        raise _unwritable(folder, error.strerror or str(error), USAGE) from None
    if not there.is_dir():
        raise _unwritable(folder, f"{there} is no folder", USAGE)
    if not os.access(there, os.W_OK):
        raise _unwritable(folder, f"nothing may be written into {there}", USAGE)


def _unwritable(folder: Path, why: str, code: int = FAILED) -> CommandError:
    fix = "Give another folder with -o."
    return CommandError("The picture cannot be written", where=str(folder), why=why, fix=fix, code=code)
