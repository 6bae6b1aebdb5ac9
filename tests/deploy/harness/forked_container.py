"""Run a module in a fork of a process that has torch and diffusers: a container's imports take seconds of a processor.

    python forked_container.py FOLDER                          the process that forks, until its standard input closes
    python forked_container.py FOLDER -m MODULE ARGUMENTS…     as `python -m MODULE ARGUMENTS…`, in a fork

The second has the module's output and exit status, and the module ends with it. FOLDER has the socket between the two.
"""

import json
import os
import select
import signal
import socket
import sys
from pathlib import Path

SOCKET = "containers"


def main(folder: str, *command: str) -> int:
    with socket.socket(socket.AF_UNIX) as connection:
        current = Path.cwd()
        os.chdir(folder)  # the path of a socket has at most 103 characters
        if not command:
            return fork_on_request(connection)
        connection.connect(SOCKET)
        request = {"folder": str(current), "environment": dict(os.environ), "arguments": command[1:]}
        socket.send_fds(connection, [json.dumps(request).encode() + b"\n"], [1, 2])
        return int.from_bytes(connection.recv(1) or b"\1")


def fork_on_request(listener: socket.socket) -> int:
    listener.bind(SOCKET)
    listener.listen()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    import_libraries()
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        connection, _ = listener.accept()
        if not os.fork():
            listener.close()
            run_module(connection)
        connection.close()
    return 0


def import_libraries() -> None:
    """Import what the container's code imports, in the same way. No operation runs: its threads would not survive."""
    os.environ.update(OMP_WAIT_POLICY="PASSIVE", DIFFUSERS_DISABLE_REMOTE_CODE="1", HF_HUB_OFFLINE="1")
    import safetensors.torch  # noqa: F401
    from diffusers import StableDiffusionPipeline  # noqa: F401


def run_module(connection: socket.socket) -> None:
    """Run the module of a request, and end this process."""
    import runpy
    import threading
    import traceback

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    data, outputs, *_ = socket.recv_fds(connection, 65_536, 2)
    while not data.endswith(b"\n"):
        data += connection.recv(65_536)
    request = json.loads(data)
    for number, output in enumerate(outputs, start=1):
        os.dup2(output, number)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv = request["arguments"]
    threading.Thread(target=end_with, args=(connection,), daemon=True).start()
    status = 1
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as error:
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
        status = 1 if isinstance(error.code, str) else error.code or 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    connection.send(status.to_bytes())
    os._exit(status)


def end_with(connection: socket.socket) -> None:
    """End this process when the process of the request has ended."""
    connection.recv(1)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
