"""Run Python in a fork of a process that has the libraries: their imports take seconds of a processor.

    python forks.py FOLDER container|function       the process that forks, until its standard input closes
    python forks.py FOLDER -m MODULE ARGUMENTS…     as `python -m MODULE ARGUMENTS…`, in a fork
    python forks.py FOLDER SCRIPT                   as `python SCRIPT`, in a fork

The last two have the fork's input, output and exit status, and the fork ends with them. FOLDER has the socket between
the two.
"""

import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

SOCKET = "forks"


def main(folder: str, *command: str) -> int:
    with socket.socket(socket.AF_UNIX) as connection:
        current = Path.cwd()
        os.chdir(folder)  # the path of a socket has at most 103 characters
        if command[0] in LIBRARIES:
            return fork_on_request(connection, LIBRARIES[command[0]])
        connection.connect(SOCKET)
        request = {"folder": str(current), "environment": dict(os.environ), "arguments": command}
        socket.send_fds(connection, [json.dumps(request).encode() + b"\n"], [0, 1, 2])
        return int.from_bytes(connection.recv(1) or b"\1")


def fork_on_request(listener: socket.socket, import_libraries: Callable[[], None]) -> int:
    listener.bind(SOCKET)
    listener.listen()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    import_libraries()
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        connection, _ = listener.accept()
        if not os.fork():
            listener.close()
            run(connection)
        connection.close()
    return 0


def import_container_libraries() -> None:
    """Import what the container's code imports, in the same way. No operation runs: its threads would not survive."""
    os.environ.update(OMP_WAIT_POLICY="PASSIVE", DIFFUSERS_DISABLE_REMOTE_CODE="1", HF_HUB_OFFLINE="1")
    import safetensors.torch  # noqa: F401
    from diffusers import StableDiffusionPipeline  # noqa: F401


def import_function_libraries() -> None:
    """Import what the functions import, and read the descriptions of the services that they call."""
    import functools

    import boto3
    import botocore.session
    import pydantic.json_schema  # noqa: F401
    from aws_lambda_powertools import Logger, Tracer  # noqa: F401
    from aws_lambda_powertools.event_handler import APIGatewayRestResolver  # noqa: F401
    from aws_lambda_powertools.metrics import single_metric  # noqa: F401

    botocore.session.create_loader = functools.cache(botocore.session.create_loader)
    session = boto3.Session(region_name=os.environ["AWS_REGION"])
    for service in ("dynamodb", "s3", "sagemaker", "sagemaker-runtime"):
        session.client(service)


LIBRARIES = {"container": import_container_libraries, "function": import_function_libraries}


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
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
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
