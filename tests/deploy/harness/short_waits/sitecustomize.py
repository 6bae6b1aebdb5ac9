"""Shorten long sleeps of the functions in the emulated Lambda and of `easel`. Functions get an internet.

Python imports this module at its start. The emulator, which has the same path, is left as it is.
"""

import os
import time

LONG_SECONDS = 5
FACTOR = 20

if "AWS_LAMBDA_FUNCTION_NAME" in os.environ or "SHORT_WAITS" in os.environ:
    sleep = time.sleep

    def sleep_shorter(seconds: float) -> None:
        sleep(seconds / FACTOR if seconds >= LONG_SECONDS else seconds)

    time.sleep = sleep_shorter  # type: ignore[assignment]

if "AWS_LAMBDA_FUNCTION_NAME" in os.environ and "HOLD" in os.environ:
    import json
    import socket
    from pathlib import Path

    INTERNET = Path(os.environ["HOLD"]) / "Internet"
    """JSON: name of a host to its address, and the port of this machine that plays it. `Account.internet` writes it."""
    COGNITO, COGNITO_ADDRESS = f"cognito-idp.{os.environ['AWS_REGION']}.amazonaws.com", "192.0.2.1"
    """Where user pools publish their keys. A function reads them without an SDK."""
    GATEWAY = int(os.environ["AWS_ENDPOINT_URL"].rpartition(":")[2])
    getaddrinfo, create_connection = socket.getaddrinfo, socket.create_connection

    def read_hosts() -> dict[str, tuple[str, int]]:
        hosts = json.loads(INTERNET.read_text("utf-8")) if INTERNET.exists() else {}
        played = {host: (address, port) for host, (address, port) in hosts.items()}
        return {COGNITO: (COGNITO_ADDRESS, GATEWAY), **played}

    def resolve(host: object, port: object, *more: int, **named: int) -> object:
        found = read_hosts().get(str(host))
        if found is None:
            return getaddrinfo(host, port, *more, **named)  # type: ignore[arg-type]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (found[0], port))]

    def connect(address: tuple[str, int], *more: object, **named: object) -> socket.socket:
        hosts = read_hosts()
        ports = {**dict(hosts.values()), **{host: port for host, (_, port) in hosts.items()}}
        target = ("127.0.0.1", ports[address[0]]) if address[0] in ports else address
        return create_connection(target, *more, **named)  # type: ignore[arg-type]

    socket.getaddrinfo, socket.create_connection = resolve, connect  # type: ignore[assignment]
