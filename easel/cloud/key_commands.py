"""The command-line interface of `easel keys`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from easel.cloud.commands import Json, Name, Region, naming
from easel.console.interrupts import interruptible
from easel.console.printable import printable, to_json
from easel.console.program_name import with_program_name

if TYPE_CHECKING:
    from easel.cloud.keys import Place

DAYS, IMAGES, GPU_SECONDS, GRACE_HOURS = (1, 3650), (1, 1_000_000), (1, 10_000_000), (0, 720)
"""Ranges of the options. A key without quotas is limited by throttle and daily_quota only."""

app = typer.Typer(help="Create API keys with quotas, and see what they used.", no_args_is_help=True)

KeyName = Annotated[str, typer.Argument(metavar="KEY", help="Name of the key, or its id.", show_default=False)]
Data = Annotated[
    Path | None, typer.Option(metavar="<dir>", help="Data folder of a laptop, in place of a deploy on AWS.")
]


@contextmanager
def _place(data: Path | None, name: str | None, region: str | None) -> Iterator[Place]:
    """Open the table of a deploy, or the folder `data`."""
    if data is not None and (name or region):
        raise typer.BadParameter("it is for a laptop; use it without --name and --region", param_hint="--data")
    from easel import ROOT
    from easel.cloud.account import open_account
    from easel.cloud.doctor.plan import read_names
    from easel.cloud.keys import deployed_place, laptop_place, table_errors

    if data is not None:
        with table_errors():
            yield laptop_place(data)
        return
    names = read_names(name, ROOT)
    with interruptible(), naming(names), table_errors():
        yield deployed_place(open_account(region, names))


@app.command()
def create(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Name of the new key.", show_default=False)],
    days: Annotated[
        int | None, typer.Option(min=DAYS[0], max=DAYS[1], metavar="<int>", help="Days until it expires.")
    ] = None,
    images_a_day: Annotated[
        int | None, typer.Option(min=IMAGES[0], max=IMAGES[1], metavar="<int>", help="Quota of images a day (UTC).")
    ] = None,
    gpu_seconds_a_month: Annotated[
        int | None,
        typer.Option(min=GPU_SECONDS[0], max=GPU_SECONDS[1], metavar="<int>", help="Quota of GPU time a month (UTC)."),
    ] = None,
    name: Name = None,
    region: Region = None,
    data: Data = None,
) -> None:
    """Create a key and print its text, which is shown only now."""
    with _place(data, name, region) as place:
        from easel.cloud import keys
        from jobs.accounts import Limits

        limits = Limits(images_a_day=images_a_day, gpu_seconds_a_month=gpu_seconds_a_month)
        print(keys.create(place, key, days=days, limits=limits))


@app.command("list")
def list_keys(name: Name = None, region: Region = None, data: Data = None, as_json: Json = False) -> None:
    """List all keys with their state, expiry and quotas."""
    with _place(data, name, region) as place:
        from easel.cloud.keys import as_table, key_rows

        rows = key_rows(place)
        print(to_json({"keys": rows}) if as_json else "\n".join(map(printable, as_table(rows))) or "There are no keys.")


@app.command()
def rotate(
    key: KeyName,
    grace_hours: Annotated[
        int,
        typer.Option(
            min=GRACE_HOURS[0], max=GRACE_HOURS[1], metavar="<int>", help="Hours for which the old text works, too."
        ),
    ] = 0,
    name: Name = None,
    region: Region = None,
    data: Data = None,
) -> None:
    """Give a key another text and print it. Its jobs, quotas and use stay."""
    with _place(data, name, region) as place:
        from easel.cloud import keys

        print(keys.rotate(place, key, grace_hours))


@app.command()
def revoke(key: KeyName, name: Name = None, region: Region = None, data: Data = None) -> None:
    """Make a key invalid at once and for ever."""
    with _place(data, name, region) as place:
        from easel.cloud import keys

        revoked = keys.revoke(place, key)
        print(printable(f"The key {revoked.name} ({revoked.id}) is revoked."))


@app.command("usage")
def show_usage(name: Name = None, region: Region = None, data: Data = None, as_json: Json = False) -> None:
    """Show what each key used this month: images, GPU seconds, cost."""
    with _place(data, name, region) as place:
        from easel.cloud.keys import as_table, usage_rows

        rows = usage_rows(place)
        print(to_json({"keys": rows}) if as_json else "\n".join(map(printable, as_table(rows))) or "Nothing was used.")


_CODES = "Exit codes: 0 success, 1 failed, 2 usage error, 3 nothing is deployed, no AWS credentials, no data folder."
EPILOGS = {
    "create": "\b\nExamples:\n  easel keys create alice --images-a-day 100 --days 90\n"
    f'  easel keys create "build server" --gpu-seconds-a-month 3600\n  easel keys create bob --data .easel\n\n{_CODES}',
    "list": f"\b\nExamples:\n  easel keys list\n  easel keys list --json --region eu-west-1\n\n{_CODES}",
    "rotate": f"\b\nExamples:\n  easel keys rotate alice\n  easel keys rotate alice --grace-hours 24\n\n{_CODES}",
    "revoke": f"\b\nExamples:\n  easel keys revoke alice\n  easel keys revoke alice --data .easel\n\n{_CODES}",
    "usage": "\b\nExamples:\n  easel keys usage\n  easel keys usage --json\n\n"
    "Days and months are those of UTC in which jobs were accepted. Jobs that have not ended count with what they have "
    f"reserved. usd is the price of the GPU time in us-east-1, without idle time.\n\n{_CODES}",
}
"""Command to the text below its help."""
for _command in app.registered_commands:
    _name = str(_command.name or getattr(_command.callback, "__name__", ""))
    _command.epilog = with_program_name(EPILOGS[_name])
