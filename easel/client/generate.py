"""`easel generate`: submit a job, show its progress, and write the images to files."""

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
MIN_POLL_SECONDS, MAX_POLL_SECONDS = 0.2, 2.0
"""Time between two polls of a job: shortest while it runs, growing while it waits."""
SLUG_CHARS = 40


@dataclass(frozen=True)
class ImageFile:
    """One image that was written."""

    path: str
    width: int
    height: int
    seed: int

    def line(self) -> str:
        return f"{self.path}  {self.width}×{self.height}  seed {self.seed}"


def run(api: Api, request: Mapping[str, Any], folder: Path, as_json: bool) -> None:
    """Write the images and print a line for each, or one JSON object. Raises CommandError."""
    terminal = Terminal()
    _check_folder(folder)
    began = time.monotonic()
    job = api.submit(request)
    try:
        job = _wait(api, job, terminal)
    except KeyboardInterrupt:
        terminal.print(_cancel(api, job["id"]))
        raise
    except CommandError as error:
        if error.code == ENVIRONMENT:
            terminal.print(f"The job continues. Get its images later from GET {api.url}/jobs/{job['id']}.")
        raise
    _check_outcome(job)
    files = _save(api, job, folder)
    seconds = round(time.monotonic() - began, 1)
    for warning in job["warnings"]:
        terminal.print(f"Note: {warning}")
    if as_json:
        output = {name: job[name] for name in ("id", "parameters", "timings", "warnings")}
        output |= {"seconds": seconds, "images": [asdict(file) for file in files]}
        print(json.dumps(output, ensure_ascii=False))
    else:
        print(*(file.line() for file in files), sep="\n")
        terminal.print(f"{len(files)} {'image' if len(files) == 1 else 'images'} in {seconds} s")


def encode(file: Path) -> str:
    """Return the file as base64. Raises CommandError if it cannot be read or is too large to send."""
    try:
        body = file.read_bytes()
    except OSError as error:
        why, fix = error.strerror or str(error), "Use a PNG, WebP or JPEG file."
        raise CommandError(
            "The image cannot be read", where=f"--init-image {file}", why=why, fix=fix, code=USAGE
        ) from None
    if len(body) > INIT_IMAGE_BYTES:
        why, fix = f"it has {len(body)} bytes", f"Scale it down to at most {INIT_IMAGE_BYTES} bytes."
        raise CommandError("The image is too large", where=f"--init-image {file}", why=why, fix=fix, code=USAGE)
    return base64.b64encode(body).decode("ascii")


def _wait(api: Api, job: dict[str, Any], terminal: Terminal) -> dict[str, Any]:
    pause = MIN_POLL_SECONDS
    with terminal.progress_bar() as show:
        while job["status"] not in ENDED:
            show(job)
            time.sleep(pause)
            pause = MIN_POLL_SECONDS if job["progress"] else min(pause * 1.2, MAX_POLL_SECONDS)
            job = api.job(job["id"])
    return job


def _cancel(api: Api, id: str) -> str:
    try:
        return str(api.cancel(id)["message"])
    except CommandError as error:
        return f"The job {id} was not cancelled: {error.why}."


def _check_outcome(job: Mapping[str, Any]) -> None:
    if job["status"] == "succeeded":
        return
    error = job["error"] or {"code": "cancelled", "message": job["message"], "hint": ""}
    kind = ERRORS.get(error["code"])
    what = kind.title if kind else error["code"]
    raise CommandError(what, where=f"job {job['id']}", why=error["message"], fix=error["hint"], code=FAILED)


def _save(api: Api, job: Mapping[str, Any], folder: Path) -> list[ImageFile]:
    prompts, per_prompt = job["parameters"]["prompt"], job["parameters"]["num_images_per_prompt"]
    files = []
    for i, image in enumerate(job["images"]):
        name = f"{image['seed']}-{_slug(prompts[i // per_prompt])}.{image['media_type'].split('/')[1]}"
        path = _write(folder, name.replace(".jpeg", ".jpg"), api.image(image["url"]))
        files.append(ImageFile(str(path), image["width"], image["height"], image["seed"]))
    return files


def _slug(prompt: str) -> str:
    return re.sub(r"\W+", "-", prompt.lower())[:SLUG_CHARS].strip("-") or "image"


def _write(folder: Path, name: str, body: bytes) -> Path:
    """Write the file under a name that no other image has: parameters beyond seed and prompt may differ."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path, count = folder / name, 1
        while path.exists() and path.read_bytes() != body:
            count += 1
            path = folder / f"{Path(name).stem}-{count}{Path(name).suffix}"
        path.write_bytes(body)
    except OSError as error:
        raise _write_error(folder, error.strerror or str(error)) from None
    return path


def _check_folder(folder: Path) -> None:
    """Check that files can be written there, before a job costs anything. Creates nothing. Raises CommandError."""
    try:
        existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    except OSError as error:  # a name that is too long, a folder without permission
        raise _write_error(folder, error.strerror or str(error), USAGE) from None
    if not existing.is_dir():
        raise _write_error(folder, f"{existing} is not a folder", USAGE)
    if not os.access(existing, os.W_OK):
        raise _write_error(folder, f"{existing} is not writable", USAGE)


def _write_error(folder: Path, why: str, code: int = FAILED) -> CommandError:
    fix = "Use another folder with --out."
    return CommandError("The images cannot be written", where=str(folder), why=why, fix=fix, code=code)
