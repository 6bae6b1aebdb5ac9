"""Ports for programs that a test starts."""

import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path

FIRST, LAST = 20_000, 32_767
"""Below the ports that Linux and macOS give to clients: none of these takes a port before its program listens."""
COUNTER = Path(f"/tmp/easel-tests-{os.getuid()}.port")
"""The last port that a process of this user has taken, whatever its TMPDIR: no two get the same."""


def free_port() -> int:
    """Return a port of loopback on which nobody listens, and which nobody else gets for a long time."""
    while True:
        port = _next_port()
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def _next_port() -> int:
    with COUNTER.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        text = file.read()
        port = int(text) + 1 if text.isdecimal() and FIRST <= int(text) < LAST else FIRST
        file.truncate(0)
        file.write(str(port))
    return port
