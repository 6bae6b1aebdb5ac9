"""`easel generate`: submit a job, show its progress, and write the images to files."""

from __future__ import annotations

import itertools
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Unpack

from easel.client.command_errors import command_errors, exit_code
from easel.client.errors import EaselError
from easel.client.requests import RequestFields
from easel.client.results import Generation, Image
from easel.client.sync_client import Easel, Job
from easel.console.errors import ENVIRONMENT, FAILED, USAGE, CommandError
from easel.console.interrupts import interruptible
from easel.console.printable import printable, to_json
from easel.console.terminal import Terminal

SLUG_CHARS = 40


@dataclass(frozen=True)
class ImageFile:
    """One image that was written."""

    path: str
    width: int
    height: int
    seed: int
    flagged: bool
    flagged_reason: str | None

    def line(self) -> str:
        return f"{self.path}  {self.width}×{self.height}  seed {self.seed}{'  flagged' if self.flagged else ''}"


def run(
    url: str, key: str | None, folder: Path, as_json: bool, prompts: Sequence[str], **fields: Unpack[RequestFields]
) -> None:
    """Write the images and print a line for each, or one JSON object. Raises CommandError."""
    terminal = Terminal()
    check_folder(folder)
    began = time.monotonic()
    with interruptible(message=""), command_errors(), _open(url, key, terminal) as easel:  # `_end` prints the message
        generation = _generate(easel, prompts, fields, terminal)
        files = [_save(image, folder) for image in generation.images]
        _print(generation, files, round(time.monotonic() - began, 1), terminal, as_json)


def _open(url: str, key: str | None, terminal: Terminal) -> Easel:
    """Return the client. Prints its warnings: the network can read the key."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        easel = Easel(url, key or "")
    for warning in caught:
        terminal.print(f"Warning: {warning.message}")
    return easel


def _print(generation: Generation, files: list[ImageFile], seconds: float, terminal: Terminal, as_json: bool) -> None:
    for warning in generation.warnings:
        terminal.print(f"Note: {printable(warning)}")
    if as_json:
        output: dict[str, Any] = {
            "id": generation.job_id,
            "parameters": dict(generation.parameters),
            "timings": dict(generation.timings),
        }
        output |= {"warnings": generation.warnings, "seconds": seconds, "images": [asdict(file) for file in files]}
        print(to_json(output))
    else:
        print(*(printable(file.line()) for file in files), sep="\n")
        terminal.print(f"{len(files)} {'image' if len(files) == 1 else 'images'} in {seconds} s")


def _generate(easel: Easel, prompts: Sequence[str], fields: RequestFields, terminal: Terminal) -> Generation:
    """Submit the job and wait for its images. Ctrl-C and SIGTERM cancel it."""
    job: Job | None = None
    try:
        job = easel.jobs.create(prompts, **fields)
        with terminal.progress_bar() as show:
            for event in job.progress():
                steps = (event.step, event.steps) if event.step is not None and event.steps is not None else None
                show(printable(event.message), steps)
        return job.wait()
    except KeyboardInterrupt:
        _end(easel, job, terminal)
        raise
    except EaselError as error:
        if job and (exit_code(error) == ENVIRONMENT or job.status == "succeeded"):
            terminal.print(f"The API keeps the job. {_where(easel, job)}")
        raise


def _end(easel: Easel, job: Job | None, terminal: Terminal) -> None:
    """Cancel the job. Print its end, or that it goes on and where it is."""
    if job is None:
        newest = f"GET {easel.base_url}/jobs lists the newest."
        terminal.print(f"The request was interrupted. It may have created a job: {newest}")
        return
    why = "interrupted again"
    try:
        job.cancel()
        why = job.message if job.status != "cancelled" else ""
    except EaselError as error:
        why = error.detail
    finally:
        kept = f"The job was not cancelled ({why}). {_where(easel, job)}"
        terminal.print(kept if why else job.message)


def _where(easel: Easel, job: Job) -> str:
    return f"Get its images from GET {easel.base_url}/jobs/{job.id}."


def _save(image: Image, folder: Path) -> ImageFile:
    path = str(write_image(image, folder))
    return ImageFile(path, image.width, image.height, image.seed, image.flagged, image.flagged_reason)


def write_image(image: Image, folder: Path) -> Path:
    """Write the file under a name of its seed and prompt, and return its path. Raises CommandError."""
    return _write(folder, f"{image.seed}-{_slug(image.prompt)}", image.suffix, image.data)


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


def check_folder(folder: Path) -> None:
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
