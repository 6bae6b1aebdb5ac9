"""The `easel` command, for which the hosts of the API and the site are an emulated account: `… PORT ARGUMENTS`."""

import socket
import sys
from typing import Any

import easel.client.connection
from easel.__main__ import main
from easel.console.hosts import LOOPBACK

HOSTS = (".amazonaws.com", ".cloudfront.net")
resolve = socket.getaddrinfo


class LocalHosts(tuple[str, ...]):
    """Names of this machine, and with them the hosts of AWS: the links of images lead to this machine."""

    def __contains__(self, host: object) -> bool:
        return super().__contains__(host) or str(host).endswith(HOSTS)


def emulate(port: int) -> None:
    """Connect to the emulator instead of AWS."""

    def resolve_here(host: Any, service: Any, *more: Any, **named: Any) -> Any:
        return resolve(*(("127.0.0.1", port) if str(host).endswith(HOSTS) else (host, service)), *more, **named)

    socket.getaddrinfo = resolve_here  # type: ignore[assignment]
    easel.client.connection.LOOPBACK = LocalHosts(LOOPBACK)  # type: ignore[assignment,attr-defined]


if __name__ == "__main__":
    emulate(int(sys.argv.pop(1)))
    main()
