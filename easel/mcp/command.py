"""The command `easel mcp`."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from easel.console.errors import ENVIRONMENT, CommandError
from easel.console.interrupts import interruptible

EPILOG = """\b
Examples:
  easel mcp
  easel mcp --url https://… --out ~/Pictures      (or EASEL_URL; the key: EASEL_KEY)
  easel connect claude-desktop      prints the settings of an assistant

An assistant starts this command and talks to it by standard input and output. Tools: generate_image, edit_image,
list_models. It needs the package mcp.

\b
Exit codes: 0 the assistant has closed the connection, 2 usage error, 3 the package mcp is not installed."""


def mcp(
    url: Annotated[str, typer.Option(envvar="EASEL_URL", help="Base URL of the API.")] = "http://127.0.0.1:7860",
    key: Annotated[str | None, typer.Option(envvar="EASEL_KEY", help="API key.")] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the image files.")] = Path("~/easel-images"),
) -> None:
    """Serve AI assistants as an MCP server on standard input and output."""
    try:
        from easel.mcp.server import make_server
    except ModuleNotFoundError as error:
        fix = 'pip install "easel[mcp]"; in a clone of the repository: .venv/bin/pip install -r requirements-mcp.txt'
        raise CommandError(
            "A package for easel mcp is not installed", where="", why=str(error), fix=fix, code=ENVIRONMENT
        ) from None
    from easel.client.async_client import AsyncEasel
    from easel.client.command_errors import command_errors
    from easel.client.generate import check_folder

    folder = out.expanduser()
    check_folder(folder)
    with command_errors():
        easel = AsyncEasel(url, key or "")
    # The protocol needs the original stream; what others print meanwhile goes to standard error.
    with interruptible(), redirect_stdout(sys.__stdout__):
        make_server(easel, folder).run("stdio")
