"""Run Python in a fork of a process that has the libraries: their imports take seconds of a processor.

    python program.py FOLDER function               the process that forks, until its standard input closes
    python program.py FOLDER project                starts the process that forks, until nobody writes to FOLDER/users
    python program.py FOLDER -m MODULE ARGUMENTS…   as `python -m MODULE ARGUMENTS…`, in a fork
    python program.py FOLDER SCRIPT                 as `python SCRIPT`, in a fork

The last two have the fork's input, output and exit status, and the fork ends with them. FORKED_PYTHON in their
environment replaces `sys.executable`. FOLDER has the socket between the two. The project's libraries are imported for
the first request.
"""

import _imp
import fcntl
import functools
import gc
import json
import marshal
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

SOCKET, USERS, LOCK, COMPILED = "forks", "users", "lock", "compiled"


def main(folder: str, *command: str) -> int:
    with socket.socket(socket.AF_UNIX) as connection:
        current = Path.cwd()
        os.chdir(folder)  # the path of a socket has at most 103 characters
        if command[0] == "function":
            listen(connection)
            import_function_libraries()  # a function must start before its timeout
            return fork_on_request(connection, import_function_libraries, sys.stdin.fileno())
        if command[0] == "project":
            Path(SOCKET).unlink(missing_ok=True)
            listen(connection)
            return serve_users(connection)
        connection.connect(SOCKET)
        request = {"folder": str(current), "environment": dict(os.environ), "arguments": command}
        socket.send_fds(connection, [json.dumps(request).encode() + b"\n"], [0, 1, 2])
        return int.from_bytes(connection.recv(1) or b"\1")


def listen(listener: socket.socket) -> None:
    import shutil

    shutil.rmtree(COMPILED, ignore_errors=True)
    compile_once(Path(COMPILED).absolute())
    listener.bind(SOCKET)
    listener.listen()


def compile_once(folder: Path) -> None:
    """Compile each source once for all forks. The emulator unpacks it again for each, so no `__pycache__` would do."""
    import hashlib

    folder.mkdir()
    compile_source = SourceFileLoader.source_to_code

    def load_or_compile(loader: SourceFileLoader, data: Any, path: Any, **options: Any) -> CodeType:
        file = folder / hashlib.sha256(data).hexdigest()
        if file.exists():
            code: CodeType = marshal.loads(file.read_bytes())
            _imp._fix_co_filename(code, str(path))  # type: ignore[attr-defined]
            return code
        code = compile_source(loader, data, path, **options)
        written = file.with_suffix(f".{os.getpid()}")
        written.write_bytes(marshal.dumps(code))
        written.rename(file)
        return code

    SourceFileLoader.source_to_code = load_or_compile  # type: ignore[method-assign,assignment]


def serve_users(listener: socket.socket) -> int:
    """Fork in a process of its own, until nobody uses it."""
    Path(USERS).unlink(missing_ok=True)
    os.mkfifo(USERS)
    if os.fork():
        return 0
    os.setsid()
    users = os.open(USERS, os.O_RDONLY)  # waits for the first
    while True:
        fork_on_request(listener, import_project_libraries, users)
        with Path(LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # who joins has it too
            if has_ended(users):
                Path(SOCKET).unlink()
                os.close(users)
                return 0


def has_ended(pipe: int) -> bool:
    """Return whether nobody can write to a pipe."""
    poll = select.poll()
    poll.register(pipe, 0)
    return bool(poll.poll(0))


def fork_on_request(listener: socket.socket, import_libraries: Callable[[], None], users: int) -> int:
    """Fork for each request, until nobody can write to `users`."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    while users not in select.select([listener.fileno(), users], [], [])[0]:
        connection, _ = listener.accept()
        import_libraries()
        gc.freeze()  # a collection in a fork would write to, and so copy, the memory that it shares
        if not os.fork():
            listener.close()
            os.close(users)
            run(connection)
        connection.close()
    return 0


@functools.cache
def import_project_libraries() -> None:
    """Import what the container, `easel` and the notebook import. No operation runs: its threads would not survive."""
    os.environ.update(OMP_WAIT_POLICY="PASSIVE", DIFFUSERS_DISABLE_REMOTE_CODE="1", HF_HUB_OFFLINE="1")
    import boto3  # noqa: F401
    import httpx  # noqa: F401
    import ipykernel.kernelapp  # noqa: F401
    import pydantic.json_schema  # noqa: F401
    import rich.table  # noqa: F401
    import safetensors.torch  # noqa: F401
    import typer  # noqa: F401
    from diffusers import StableDiffusionPipeline  # noqa: F401

    read_descriptions("iam", "s3", "sagemaker")


@functools.cache
def import_function_libraries() -> None:
    """Import what the functions import, and read the descriptions of the services that they call."""
    import pydantic.json_schema
    from aws_lambda_powertools import Logger, Tracer  # noqa: F401
    from aws_lambda_powertools.event_handler import APIGatewayRestResolver  # noqa: F401
    from aws_lambda_powertools.metrics import single_metric  # noqa: F401

    pydantic.create_model("Model", number=int)  # imports the modules that classes need
    read_descriptions("dynamodb", "s3", "sagemaker", "sagemaker-runtime")


def read_descriptions(*services: str) -> None:
    """Read botocore's descriptions of services for all sessions of the forks."""
    import boto3
    import botocore.session

    botocore.session.create_loader = functools.cache(botocore.session.create_loader)
    session = boto3.Session("none", "none", region_name="us-east-1")
    for service in services:
        session.client(service)


def run(connection: socket.socket) -> None:
    """Run the module or the script of a request, and end this process."""
    import importlib
    import runpy
    import threading
    import traceback

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    data, descriptors, *_ = socket.recv_fds(connection, 65_536, 3)
    while not data.endswith(b"\n"):
        data += connection.recv(65_536)
    request = json.loads(data)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)  # may be of other kinds
    sys.stderr = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.executable = os.environ.get("FORKED_PYTHON", sys.executable)
    sys.path[:0] = [path for path in os.environ.get("PYTHONPATH", "").split(":") if path and path not in sys.path]
    threading.Thread(target=end_with, args=(connection,), daemon=True).start()
    status = 1
    try:
        if "sitecustomize" in sys.modules:  # it depends on the environment
            importlib.reload(sys.modules["sitecustomize"])
        if request["arguments"][0] == "-m":
            sys.argv = request["arguments"][1:]
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv = request["arguments"]
            runpy.run_path(sys.argv[0], run_name="__main__")
        status = 0
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
