"""`easel up`: run the models, the API and the page on this machine until a stop signal."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import replace
from pathlib import Path

from easel.console.errors import ENVIRONMENT, USAGE, CommandError
from easel.console.hosts import KEY_PATTERN
from easel.console.terminal import Terminal
from easel.laptop.catalogue import Entry, find
from easel.laptop.container.memory import Memory, has_gpu_memory
from easel.laptop.settings import GB, Settings
from easel.laptop.storage.data_folder import DataFolder
from easel.laptop.supervisor import Supervisor
from stacks.config.catalogue import CONTENT

MAX_OPEN_FILES = 10_240
"""The most that macOS allows where its hard limit is `unlimited`."""


def run(settings: Settings) -> None:
    """Run until a stop signal. Raises CommandError."""
    terminal = Terminal()
    os.umask(0o077)  # prompts and images are for this user only
    raise_file_limit()
    _check_key(settings, terminal)
    entries, data = find_models(settings), DataFolder(settings.data)
    with data.lock(settings), _listen(settings) as listener:
        for line in data.prepare():
            terminal.print(line)
        with _log_to(data.api_log):
            asyncio.run(Supervisor(settings, entries, data, terminal).run(listener))
    terminal.print("Stopped.")


def find_models(settings: Settings) -> list[Entry]:
    """Return the entries. Raises CommandError: one is named twice, is not here, or can never be loaded."""
    entries = _allow([find(model) for model in settings.models], settings.content)
    for i, entry in enumerate(entries):
        if entry.model.id in [other.model.id for other in entries[:i]]:
            why = f"requests choose a model by its id, and {entry.model.id!r} is there already"
            fix = "Leave it out, or give the second entry another id."
            raise CommandError(
                "A model is named twice", where=f"--model {settings.models[i]}", why=why, fix=fix, code=USAGE
            )
        _ = entry.folder  # raises
        if not has_gpu_memory():
            _check_memory(entry, settings)
    return entries


def _allow(entries: list[Entry], content: str) -> list[Entry]:
    """Return the entries for a service whose requests may choose this content. Raises CommandError."""
    if content not in CONTENT:
        raise CommandError(
            "This content cannot be chosen",
            where=f"--content {content}",
            why=f"it can be {' or '.join(CONTENT)}",
            fix=f"easel up --content {CONTENT[1]}, or without --content",
            code=USAGE,
        )
    if content != CONTENT[0] and not any(entry.model.safety_checker for entry in entries):
        raise CommandError(
            "There is no safety checker",
            where=f"--content {content}",
            why=f"{', '.join(entry.model.name for entry in entries)} flags no image, and returns all",
            fix="Leave out --content",
            code=USAGE,
        )
    return [replace(entry, model=entry.model.allowing(content)) for entry in entries]


def _check_memory(entry: Entry, settings: Settings) -> None:
    most, needed = Memory(settings.memory).most, entry.weights_bytes
    if needed > most:
        limit = "--memory allows" if most == settings.memory else "this machine has"
        raise CommandError(
            f"The model {entry.model.id!r} does not fit into memory",
            where=str(entry.path),
            why=f"its weights alone need {needed / GB:.1f} GB, and {limit} {most / GB:.1f} GB",
            fix="Choose a smaller model, or a machine with more memory.",
            code=ENVIRONMENT,
        )


def raise_file_limit() -> None:
    """Allow as many open files as the system lets this user have: macOS starts programs with 256."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (hard, MAX_OPEN_FILES):
        with suppress(ValueError, OSError):
            if limit != resource.RLIM_INFINITY and soft != resource.RLIM_INFINITY and limit > soft:
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
                return


@contextmanager
def _log_to(file: Path) -> Iterator[None]:
    """Send standard output and logging to `file`: the handlers print their log as they do on Lambda."""
    logging.raiseExceptions = False  # a full disk stops the log, not the service
    with file.open("a", buffering=1, encoding="utf-8", errors="backslashreplace") as log, redirect_stdout(log):
        logging.basicConfig(stream=log, level=logging.WARNING)
        yield


def _check_key(settings: Settings, terminal: Terminal) -> None:
    if settings.key and not re.fullmatch(KEY_PATTERN, settings.key):
        raise CommandError(
            "The API key is not valid",
            where="--key or EASEL_KEY",
            why="an HTTP header cannot carry it",
            fix='Use letters and digits: --key "$(openssl rand -hex 16)"',
            code=USAGE,
        )
    if settings.public and not settings.key:
        terminal.print(f"Warning: without --key, whoever can open {settings.public} can generate and see all images.")
    if settings.loopback:
        return
    if not settings.key:
        raise CommandError(
            "An API key is required",
            where=f"--host {settings.host}",
            why="other machines can reach this address",
            fix='easel up --host … --key "$(openssl rand -hex 16)"',
            code=USAGE,
        )
    terminal.print(
        f"Warning: other machines can reach {settings.host} over unencrypted HTTP. Only the API key protects it."
    )


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # asyncio sets TCP_NODELAY only on a socket that names its protocol.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen()
    except OSError as error:
        listener.close()
        in_use = error.errno == errno.EADDRINUSE
        raise CommandError(
            f"Port {settings.port} is in use" if in_use else "Cannot listen on this address",
            where=f"{settings.host}:{settings.port}",
            why="another program listens on it, perhaps Easel" if in_use else str(error),
            fix=f"Stop it, or: {settings.command()}" if in_use else "Use another --host or --port.",
            code=ENVIRONMENT,
        ) from None
    return listener
