"""The commands that look after the cloud: options in, one call, an exit code out."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from easel.console.errors import told
from easel.console.program_name import as_typed

MINUTES = (1, 120)
"""What --minutes may be. SageMaker gives up a start by itself, after the time-outs of the stack."""

Region = Annotated[str | None, typer.Option(help="Where Easel is.  [default: AWS_REGION, or the profile's]")]
Minutes = Annotated[int, typer.Option(min=MINUTES[0], max=MINUTES[1], help="How long to wait.")]
Context = Annotated[
    list[str] | None, typer.Option("-c", "--context", metavar="KEY=VALUE", help="A setting, as after `cdk deploy`.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def doctor(
    context: Context = None,
    region: Region = None,
    request: Annotated[bool, typer.Option("--request", help="Ask AWS for the quota where it is too small.")] = False,
    as_json: Json = False,
) -> None:
    """Check whether a deploy from here would work, and whether what is deployed does."""
    with told():
        from easel import ROOT
        from easel.cloud.account import checked_region
        from easel.cloud.doctor.plan import read_plan
        from easel.cloud.doctor.run import Doctor, report

        if region:
            checked_region(region)
        doctor = Doctor(read_plan(context or (), ROOT), ROOT, request)
        raise typer.Exit(report(doctor.checks(region), as_json))


def leftovers(
    region: Annotated[
        list[str] | None, typer.Option(help="Where to look; can be repeated.  [default: as doctor]")
    ] = None,
    all_regions: Annotated[bool, typer.Option("--all-regions", help="Every region of the account.")] = False,
    as_json: Json = False,
) -> None:
    """List everything of Easel's that is still in the account, with its price a month."""
    with told():
        from easel.cloud.account import checked_region, explained, open_account
        from easel.cloud.leftovers.scan import GLOBAL, look, report
        from easel.console.terminal import Terminal

        account = open_account(region[0] if region else None, otherwise=GLOBAL["aws"] if all_regions else "")
        for name in region or ():
            checked_region(name)
        with explained():
            regions = account.regions() if all_regions else region or [account.region]
            account.client("sts").get_caller_identity()
        raise typer.Exit(report(look(account, regions, Terminal(), all_regions=all_regions), as_json))


def outputs(
    region: Region = None,
    export: Annotated[bool, typer.Option("--export", help="Print EASEL_URL and EASEL_KEY for the shell.")] = False,
    as_json: Json = False,
) -> None:
    """Print what the deploy told: page, API, model, prices; or the API's address and key for this shell."""
    if export and as_json:
        raise typer.BadParameter("it prints lines for a shell, not JSON: give one of both", param_hint="--export")
    with told():
        from easel.cloud import outputs as deployed
        from easel.cloud.account import open_account

        account = open_account(region)
        found = deployed.read_outputs(account)
        if export:
            typer.echo(deployed.exports(account, found))
        else:
            typer.echo(json.dumps(found, ensure_ascii=False) if as_json else as_typed(deployed.report(found)))


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
    from easel.console.terminal import Terminal

    switch = Switch(open_account(region), minutes, Terminal())
    typer.echo(as_typed(switch.pause() if what == "pause" else switch.resume()))


EPILOGS = {
    "doctor": "\b\nExamples:\n  easel doctor\n  easel doctor -c model=sdxl -c mode=realtime --region eu-west-1\n"
    "  easel doctor --request\n\n\b\nSigns: ✓ in order, ✗ not, ? could not be checked.\n"
    "Exit codes: 0 all in order, 1 not, 2 asked wrongly.",
    "leftovers": "\b\nExamples:\n  easel leftovers\n  easel leftovers --region us-east-1 --region eu-west-1\n"
    "  easel leftovers --all-regions --json\n\nExit codes: 0 nothing is left, 1 something is, or a place could not be "
    "looked at, 2 asked wrongly, 3 no account or region to ask.",
    "outputs": '\b\nExamples:\n  easel outputs\n  easel outputs --export\n  eval "$(easel outputs --export)"\n\n'
    "The key itself is in --export alone; the command in ApiKeyCommand, which is AWS's, prints it too.",
    "pause": "\b\nExamples:\n  easel pause\n  easel pause --region eu-west-1\n\n"
    "Meanwhile the API answers endpoint_missing. Resume before the next cdk deploy, or deploy once with "
    "-c endpoint=off; destroy works either way.",
    "resume": "\b\nExamples:\n  easel resume\n  easel resume --minutes 60",
}
