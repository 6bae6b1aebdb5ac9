"""The `easel` command. Everything heavy is imported where it is used: help takes no time and no network."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from easel import __version__
from easel.command_error import INTERRUPTED, CommandError

_EPILOG = "Documentation: README.md and docs/api.md."

app = typer.Typer(
    help="Your own text-to-image service.", no_args_is_help=True, pretty_exceptions_enable=False, epilog=_EPILOG
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"easel {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None: ...


@app.command(epilog="Example:  easel up --port 8000 --model emoji")
def up(
    host: Annotated[
        str, typer.Option(help="Address to listen on; other machines reach all but loopback.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 7860,
    model: Annotated[str, typer.Option(help="A model of `easel models`.")] = "emoji",
    data: Annotated[Path, typer.Option(help="Folder that keeps jobs and pictures.")] = Path(".easel"),
    key: Annotated[str | None, typer.Option(envvar="EASEL_KEY", help="Access key that callers must send.")] = None,
    container: Annotated[str, typer.Option(hidden=True)] = "easel.container",
) -> None:
    """Run everything on this machine until Ctrl-C: page, API and model."""
    from easel import up as command
    from easel.settings import Settings

    with _explained():
        command.run(Settings(host=host, port=port, model=model, data=data, key=key, container=container))


@app.command(
    epilog='Example:  easel generate "a red apple" --seed 7 -o out/   ·   with EASEL_URL and EASEL_KEY set, on AWS'
)
def generate(
    prompts: Annotated[list[str], typer.Argument(metavar="PROMPT...", help="What to draw.")],
    url: Annotated[str, typer.Option(envvar="EASEL_URL")] = "http://127.0.0.1:7860",
) -> None:
    """Draw pictures."""


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except CommandError as trouble:
        typer.echo("\n".join(trouble.lines()), err=True)
        raise typer.Exit(trouble.code) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
