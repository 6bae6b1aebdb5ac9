"""`easel generate`: submit a job, show its progress, and write the images to files."""

from __future__ import annotations

import base64
import itertools
import re
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contract import ERRORS, INIT_IMAGE_BYTES, image_size
from easel.client.api import Api
from easel.client.responses import SUFFIXES, Job, JobError
from easel.console.errors import ENVIRONMENT, FAILED, USAGE, CommandError
from easel.console.interrupts import interruptible
from easel.console.printable import printable, to_json
from easel.console.terminal import Terminal

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
    if api.exposes_key:
        terminal.print(f"Warning: {api.url} is not HTTPS. Others in the network can read the API key.")
    began = time.monotonic()
    with interruptible(message=""):  # `_end` prints it
        job, files = _generate(api, request, folder, terminal)
        _print(job, files, round(time.monotonic() - began, 1), terminal, as_json)


def _print(job: Job, files: list[ImageFile], seconds: float, terminal: Terminal, as_json: bool) -> None:
    for warning in job.warnings:
        terminal.print(f"Note: {printable(warning)}")
    if as_json:
        output = job.model_dump(include={"id", "parameters", "timings", "warnings"})
        output |= {"seconds": seconds, "images": [asdict(file) for file in files]}
        print(to_json(output))
    else:
        print(*(printable(file.line()) for file in files), sep="\n")
        terminal.print(f"{len(files)} {'image' if len(files) == 1 else 'images'} in {seconds} s")


def _generate(api: Api, request: Mapping[str, Any], folder: Path, terminal: Terminal) -> tuple[Job, list[ImageFile]]:
    """Submit the job, wait for it and write its images. Ctrl-C and SIGTERM cancel it."""
    job: Job | None = None
    try:
        job = api.submit(request)
        job = _wait(api, job, terminal)
        _check_outcome(job)
        return job, _save(api, job, folder)
    except KeyboardInterrupt:
        _end(api, job, terminal)
        raise
    except CommandError as error:
        if job and (error.code == ENVIRONMENT or job.status == "succeeded"):
            terminal.print(f"The API keeps the job. {_where(api, job)}")
        raise


def _end(api: Api, job: Job | None, terminal: Terminal) -> None:
    """Cancel the job. Print its end, or that it goes on and where it is."""
    if job is None:
        terminal.print(f"The request was interrupted. It may have created a job: GET {api.url}/jobs lists the newest.")
        return
    why = "interrupted again"
    try:
        job = api.cancel(job.id)
        why = job.message if job.status != "cancelled" else ""
    except CommandError as error:
        why = error.why
    finally:
        kept = f"The job was not cancelled ({why}). {_where(api, job)}"
        terminal.print(kept if why else job.message)


def _where(api: Api, job: Job) -> str:
    return f"Get its images from GET {api.url}/jobs/{job.id}."


def encode(file: Path) -> str:
    """Return the file as base64. Raises CommandError if it cannot be read, is no image or is too large to send."""
    try:
        with file.open("rb") as opened:  # maybe a pipe or a device without an end
            body = opened.read(INIT_IMAGE_BYTES + 1)
    except OSError as error:
        why, fix = error.strerror or str(error), "Use a PNG, WebP or JPEG file."
        raise CommandError(
            "The image cannot be read", where=f"--init-image {file}", why=why, fix=fix, code=USAGE
        ) from None
    if len(body) > INIT_IMAGE_BYTES:
        why, fix = f"it has more than {INIT_IMAGE_BYTES} bytes", "Scale it down, or save it as JPEG."
        raise CommandError("The image is too large", where=f"--init-image {file}", why=why, fix=fix, code=USAGE)
    if image_size(body) is None:
        why, fix = "it is not a PNG, WebP or JPEG file", "Use a PNG, WebP or JPEG file."
        raise CommandError("The file is no image", where=f"--init-image {file}", why=why, fix=fix, code=USAGE)
    return base64.b64encode(body).decode("ascii")


def _wait(api: Api, job: Job, terminal: Terminal) -> Job:
    pause = MIN_POLL_SECONDS
    with terminal.progress_bar() as show:
        while not job.ended:
            show(printable(job.message), (job.progress.step, job.progress.steps) if job.progress else None)
            time.sleep(pause)
            pause = MIN_POLL_SECONDS if job.progress else min(pause * 1.2, MAX_POLL_SECONDS)
            job = api.job(job.id)
    return job


def _check_outcome(job: Job) -> None:
    if job.status == "succeeded":
        return
    code = "cancelled" if job.status == "cancelled" else "model_error"
    error = job.error or JobError(code=code, message=job.message, hint="")
    kind = ERRORS.get(error.code)
    what = kind.title if kind else error.code
    raise CommandError(what, where=f"job {job.id}", why=error.message, fix=error.hint, code=FAILED)


def _save(api: Api, job: Job, folder: Path) -> list[ImageFile]:
    files = []
    for i, image in enumerate(job.images):
        body = api.image(image.url, image.media_type)
        path = _write(folder, f"{image.seed}-{_slug(job.prompt_of(i))}", SUFFIXES[image.media_type], body)
        files.append(ImageFile(str(path), image.width, image.height, image.seed))
    return files


def _slug(prompt: str) -> str:
    """Return a part of a file name: letters, digits and hyphens that the file system can hold."""
    encoding = sys.getfilesystemencoding()
    words = re.sub(r"\W+", "-", prompt.lower()).encode(encoding, "ignore").decode(encoding)
    return words[:SLUG_CHARS].strip("-") or "image"


def _write(folder: Path, name: str, suffix: str, body: bytes) -> Path:
    """Write the file under a name that no other image has: parameters beyond seed and prompt may differ."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for count in itertools.count(1):
            path = folder / f"{name}{'' if count == 1 else f'-{count}'}{suffix}"
            if path.parent != folder:
                raise OSError(f"{path} is not in the folder")
            if _create(path, body):
                return path
    except OSError as error:
        raise _write_error(folder, error.strerror or str(error)) from None
    raise AssertionError


def _create(path: Path, body: bytes) -> bool:
    """Create the file, or return False if another file is there. Does not follow links. Raises OSError."""
    try:
        file = path.open("xb")
    except FileExistsError:
        same_size = not path.is_symlink() and path.is_file() and path.stat().st_size == len(body)
        return same_size and path.read_bytes() == body
    try:
        with file:
            file.write(body)
    except OSError:
        path.unlink()
        raise
    return True


def _check_folder(folder: Path) -> None:
    """Check that files can be written there, before a job costs anything. Leaves nothing. Raises CommandError."""
    try:
        existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    except OSError as error:  # a name that is too long, a folder without permission
        raise _write_error(folder, error.strerror or str(error), USAGE) from None
    if not existing.is_dir():
        raise _write_error(folder, f"{existing} is not a folder", USAGE)
    try:
        tempfile.TemporaryFile(dir=existing).close()  # os.access knows no quota, read-only mount or special folder
    except OSError:
        raise _write_error(folder, f"{existing} is not writable", USAGE) from None


def _write_error(folder: Path, why: str, code: int = FAILED) -> CommandError:
    fix = "Use another folder with --out."
    return CommandError("The images cannot be written", where=str(folder), why=why, fix=fix, code=code)
