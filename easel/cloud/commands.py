"""The commands that look after the cloud: options in, one call, an exit code out."""

from __future__ import annotations

from typing import Annotated

import typer

from easel.command_error import told

MINUTES = (1, 120)
"""What --minutes may be. SageMaker gives up a start by itself, after the time-outs of the stack."""

Region = Annotated[str | None, typer.Option(help="Where Easel is.  [default: AWS_REGION, or the profile's]")]
Minutes = Annotated[int, typer.Option(min=MINUTES[0], max=MINUTES[1], help="How long to wait.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def pause(region: Region = None, minutes: Minutes = 15) -> None:
    """Take a realtime endpoint down, so that it costs nothing, until `easel resume`."""
    with told():
        _switch(region, minutes, "pause")


def resume(region: Region = None, minutes: Minutes = 45) -> None:
    """Bring a paused endpoint back as it was deployed (usually 6 to 12 minutes)."""
    with told():
        _switch(region, minutes, "resume")


def _switch(region: str | None, minutes: int, what: str) -> None:
    from easel.cloud.account import open_account
    from easel.cloud.pause import Switch
    from easel.terminal import Terminal

    switch = Switch(open_account(region), minutes, Terminal())
    typer.echo(switch.pause() if what == "pause" else switch.resume())


EPILOGS = {
    "pause": "\b\nExamples:\n  easel pause\n  easel pause --region eu-west-1\n\n"
    "Meanwhile the API answers endpoint_missing. Resume before the next cdk deploy; destroy works either way.",
    "resume": "\b\nExamples:\n  easel resume\n  easel resume --minutes 60",
}
