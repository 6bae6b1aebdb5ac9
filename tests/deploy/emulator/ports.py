"""Ports for programs that a test starts."""

import random
import socket
from contextlib import suppress

FIRST, LAST = 20_000, 32_767
"""Below the ports that Linux and macOS give to clients: none of these takes a port before its program listens."""


def free_port() -> int:
    """Return a port of loopback on which nobody listens."""
    while True:
        port = random.SystemRandom().randint(FIRST, LAST)  # not the generator that a test may seed
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
