"""`easel up`: the model, the API and the front door on one machine, until it is told to stop."""

from __future__ import annotations

import asyncio
import errno
import re
import socket

from easel.console.errors import ENVIRONMENT, USAGE, CommandError
from easel.console.terminal import Terminal
from easel.laptop.catalogue import find
from easel.laptop.settings import SENDABLE, Settings
from easel.laptop.storage.data_folder import Home
from easel.laptop.supervisor import Service


def run(settings: Settings) -> None:
    """Returns when it was told to stop. Raises CommandError."""
    terminal = Terminal()
    _check_key(settings, terminal)
    entry, home = find(settings.model), Home(settings.data)
    with home.occupy(settings.url), _listen(settings) as door:
        home.store().sweep()
        asyncio.run(Service(settings, entry, home, terminal).run(door))
    terminal.say("Stopped.")


def _check_key(settings: Settings, terminal: Terminal) -> None:
    if settings.key and not re.fullmatch(SENDABLE, settings.key):
        raise CommandError(
            "The access key cannot be used",
            where="--key or EASEL_KEY",
            why="no caller can send it in a header",
            fix='Take letters and digits: --key "$(openssl rand -hex 16)"',
            code=USAGE,
        )
    if settings.loopback:
        return
    if not settings.key:
        raise CommandError(
            "An access key is needed",
            where=f"--host {settings.host}",
            why="other machines reach this address, and whoever reaches it could draw",
            fix='easel up --host … --key "$(openssl rand -hex 16)"',
            code=USAGE,
        )
    terminal.say(f"Warning: other machines reach {settings.host}, over unencrypted HTTP. The key alone guards it.")


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # asyncio sends small answers at once (TCP_NODELAY) only where the socket names its protocol.
    door = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((settings.host, settings.port))
        door.listen()
    except OSError as error:
        door.close()
        taken = error.errno == errno.EADDRINUSE
        raise CommandError(
            f"Port {settings.port} is in use" if taken else "The address cannot be used",
            where=f"{settings.host}:{settings.port}",
            why="another program listens there, perhaps an Easel" if taken else str(error),
            fix=f"Stop it, or: easel up --port {settings.port + 1}" if taken else "Give another --host or --port.",
            code=ENVIRONMENT,
        ) from None
    return door
