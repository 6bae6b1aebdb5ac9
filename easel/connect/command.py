"""The command `easel connect`."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import Annotated

import typer

from easel import IN_CHECKOUT
from easel.connect.clients import CLIENTS, Client
from easel.connect.settings import ANY_MODEL, Settings
from easel.console.errors import USAGE, CommandError
from easel.console.hosts import LOOPBACK
from easel.console.printable import to_json
from easel.console.program_name import with_program_name
from easel.console.terminal import Terminal

SECONDS = 3.0
"""Longest wait for the name of the model."""
EPILOG = """\b
Examples:
  easel connect
  easel connect openai-python
  easel connect open-webui --stack
  easel connect claude-desktop --url https://… --show-key

Standard output has the settings alone: easel connect openai-python > apple.py

\b
Exit codes: 0 success, 1 failed, 2 usage error, 3 nothing is deployed, no AWS credentials or no region."""


def connect(
    client: Annotated[str, typer.Argument(metavar="[CLIENT]", help="Name of a client; without, all are listed.")] = "",
    url: Annotated[str, typer.Option(envvar="EASEL_URL", help="Base URL of the API.")] = "http://127.0.0.1:7860",
    key: Annotated[str | None, typer.Option(envvar="EASEL_KEY", help="API key.")] = None,
    stack: Annotated[bool, typer.Option("--stack", help="Use the address and the key of the deployed Easel.")] = False,
    name: Annotated[str | None, typer.Option(envvar="EASEL_NAME", help="With --stack: name of the Easel.")] = None,
    region: Annotated[str | None, typer.Option(help="With --stack: AWS region of the deploy.")] = None,
    model: Annotated[str, typer.Option(help="Name of the model.  [default: the service's first]")] = "",
    show_key: Annotated[bool, typer.Option("--show-key", help="Print the API key in the settings.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print the settings with which a client uses your Easel, ready to paste."""
    if not client:
        _print_list(as_json)
        return
    found = _find(client)
    if stack:
        url, key = _deployed(name, region)
    from easel.client.command_errors import command_errors
    from easel.client.connection import host_of

    with command_errors():
        needs_key = bool(key) or not (stack or host_of(url) in LOOPBACK)
    if show_key and not key:
        fix = "Set --key or EASEL_KEY, or use --stack. A laptop without a key takes any."
        raise CommandError("There is no key to show", where="--show-key", why="no key is known", fix=fix, code=USAGE)
    terminal = Terminal()
    model = model or _served_model(url, key, terminal)
    settings = Settings(url.rstrip("/"), key or "", show_key, needs_key, model, _command())
    _print(settings, found, terminal, as_json)


def _print(settings: Settings, client: Client, terminal: Terminal, as_json: bool) -> None:
    text, notes = settings.render(client), settings.notes(client)
    if as_json:
        print(to_json({"client": client.name, "install": client.install, "settings": text, "notes": notes}))
        return
    print(text)
    for line in ([f"Install: {client.install}"] if client.install else []) + notes:
        terminal.print(line)


def _print_list(as_json: bool) -> None:
    if as_json:
        print(to_json([{"client": item.name, "title": item.title, "api": item.api} for item in CLIENTS.values()]))
        return
    for item in CLIENTS.values():
        print(f"{item.name:<18}{item.title:<30}{item.api}")
    Terminal().print(with_program_name("For the settings of a client: easel connect CLIENT"))


def _find(name: str) -> Client:
    if name in CLIENTS:
        return CLIENTS[name]
    name = name.lower()
    near = [item for item in CLIENTS if name in item] or difflib.get_close_matches(name, CLIENTS, 3, 0.5)
    fix = f"Did you mean {', '.join(near)}? `easel connect` lists all." if near else "`easel connect` lists all."
    raise CommandError(f"There are no settings for {name!r}", where="CLIENT", why="", fix=fix, code=USAGE)


def _served_model(url: str, key: str | None, terminal: Terminal) -> str:
    """Return the name of the service's first model, or a name that means it."""
    from easel.client.api import Api
    from easel.client.errors import EaselError
    from easel.client.transport import Transport

    try:
        return Transport().run(Api(url, key or "", SECONDS).models(pauses=()))[0].id
    except EaselError as error:
        terminal.print(f"The settings could not be tried. {error}")
        return ANY_MODEL


def _deployed(name: str | None, region: str | None) -> tuple[str, str | None]:
    """Return the address and the key of the deployed Easel: of its site, under which clients find every API."""
    if not IN_CHECKOUT:
        fix = "Use --url and --key with the values of `easel outputs --export`."
        raise CommandError("--stack needs the repository", where="--stack", why="", fix=fix, code=USAGE)
    from easel import ROOT
    from easel.cloud.account import open_account
    from easel.cloud.doctor.plan import read_names
    from easel.cloud.outputs import api_variables, read_outputs

    account = open_account(region, read_names(name, ROOT))
    outputs = read_outputs(account)
    variables = api_variables(account, outputs)
    return outputs.get("SiteUrl") or variables["EASEL_URL"], variables.get("EASEL_KEY")


def _command() -> tuple[str, ...]:
    """Return the program that an assistant starts: with its whole path, since it has another PATH and folder."""
    started = Path(sys.argv[0])
    return (str(started.absolute()),) if started.name == "easel" else (sys.executable, "-m", "easel")
