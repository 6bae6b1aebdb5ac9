"""The command-line interface of the cloud commands: parse options, make one call, return an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from easel.console.errors import CommandError
from easel.console.interrupts import interruptible
from easel.console.printable import printable, to_json
from easel.console.program_name import with_program_name

if TYPE_CHECKING:
    from stacks.config.names import Names

PROVE_FOLDER = Path("out/prove")
POLICY_FOLDER = Path("out/policies")
TEMPLATE_FOLDER = Path("cdk.out")
"""Where `cdk synth` writes."""
MINUTES = (1, 120)
"""Range of --minutes. SageMaker gives up a start by itself, after the timeouts of the stack."""

Region = Annotated[
    str | None, typer.Option(help="AWS region of the deploy.  [default: AWS_REGION, or the profile's region]")
]
Name = Annotated[
    str | None,
    typer.Option(
        envvar="EASEL_NAME", help="Name of the Easel, as in `-c name=…` of its deploy.  [default: cdk.json's, or easel]"
    ),
]
OfModel = Annotated[
    str, typer.Option("--model", metavar="<id>", help="With several models: only the endpoint of this one.")
]
Minutes = Annotated[int, typer.Option(min=MINUTES[0], max=MINUTES[1], help="Longest time to wait.")]
Context = Annotated[
    list[str] | None,
    typer.Option("-c", "--context", metavar="KEY=VALUE", help="Setting, as for `cdk deploy`; can be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def doctor(
    context: Context = None,
    name: Name = None,
    region: Region = None,
    request: Annotated[
        bool, typer.Option("--request", help="Request an increase from AWS for each quota that is too small.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check whether a deploy would work, and whether the deployed service works."""
    from easel import ROOT
    from easel.cloud.account import validate_region
    from easel.cloud.doctor.plan import read_plan
    from easel.cloud.doctor.run import Doctor, print_results

    if region:
        validate_region(region)
    pairs = [*([f"name={name}"] if name else ()), *(context or ())]
    doctor = Doctor(read_plan(pairs, ROOT), ROOT, request)
    with interruptible():
        raise typer.Exit(print_results(doctor.results(region), as_json))


def leftovers(
    name: Name = None,
    region: Annotated[
        list[str] | None, typer.Option(help="Region to scan; can be repeated.  [default: as for doctor]")
    ] = None,
    all_regions: Annotated[bool, typer.Option("--all-regions", help="Scan all enabled regions.")] = False,
    as_json: Json = False,
) -> None:
    """List all resources of Easel in the account, with their price per month."""
    from easel import ROOT
    from easel.cloud.account import aws_errors, open_account, validate_region
    from easel.cloud.doctor.plan import read_names
    from easel.cloud.leftovers.report import print_scan
    from easel.cloud.leftovers.scan import GLOBAL_REGION, scan
    from easel.console.terminal import Terminal

    names, default_region = read_names(name, ROOT), GLOBAL_REGION["aws"] if all_regions else ""
    account = open_account(region[0] if region else None, names, default_region=default_region)
    for item in region or ():
        validate_region(item)
    with aws_errors():
        regions = account.enabled_regions() if all_regions else region or [account.region]
        account.client("sts").get_caller_identity()
    with interruptible():
        found = scan(account, regions, Terminal(), all_regions=all_regions)
        raise typer.Exit(print_scan(found, as_json, names))


def outputs(
    name: Name = None,
    region: Region = None,
    export: Annotated[
        bool, typer.Option("--export", help="Print shell commands that set EASEL_URL and EASEL_KEY.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print the outputs of the deploy: URLs, model, prices. With --export: the API's URL and key for the shell."""
    if export and as_json:
        raise typer.BadParameter("it cannot be combined with --json; use one of them", param_hint="--export")
    from easel import ROOT
    from easel.cloud.account import open_account
    from easel.cloud.doctor.plan import read_names
    from easel.cloud.outputs import exports, format_outputs, read_outputs

    account = open_account(region, read_names(name, ROOT))
    with naming(account.names):
        found = read_outputs(account)
        if export:
            print(exports(account, found))
        else:
            print(to_json(found) if as_json else with_program_name(format_outputs(found)))


def pause(name: Name = None, region: Region = None, minutes: Minutes = 15, model: OfModel = "") -> None:
    """Delete the realtime endpoint, which then costs nothing, until `easel resume`."""
    _switch(name, region, minutes, model, "pause")


def resume(name: Name = None, region: Region = None, minutes: Minutes = 45, model: OfModel = "") -> None:
    """Create a paused endpoint again, as deployed, or end a stop by the budget. This usually takes 6 to 12 minutes."""
    _switch(name, region, minutes, model, "resume")


def _switch(name: str | None, region: str | None, minutes: int, model: str, action: str) -> None:
    from easel import ROOT
    from easel.cloud.account import open_account
    from easel.cloud.doctor.plan import read_names
    from easel.cloud.pause import EndpointSwitch
    from easel.console.terminal import Terminal

    names = read_names(name, ROOT)
    with interruptible(), naming(names):
        switch = EndpointSwitch(open_account(region, names), minutes, Terminal(), model=model)
        text = names.in_commands(switch.pause() if action == "pause" else switch.resume())
        print(printable(with_program_name(text)))


@contextmanager
def naming(names: Names) -> Iterator[None]:
    """Write the name of the Easel into the commands of an error."""
    try:
        yield
    except CommandError as error:
        error.why, error.fix = names.in_commands(error.why), names.in_commands(error.fix)
        raise


def prove(
    context: Context = None,
    region: Region = None,
    usd: Annotated[
        float | None, typer.Option(metavar="<usd>", help="Limit of the costs.  [default: ask, on a terminal]")
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for state, logs and record.")] = PROVE_FOLDER,
    clean_up: Annotated[
        bool, typer.Option("--clean-up", help="Only remove what an unfinished run has deployed.")
    ] = False,
) -> None:
    """Deploy Easel to AWS, try it, remove it, and write a record. This costs money."""
    from easel.cloud.prove.start import prove

    raise typer.Exit(prove(context or (), region, usd, out, clean_up))


def policies(
    templates: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FOLDER]...", help="Folders of `cdk synth`.  [default: cdk.out]", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the policies.")] = POLICY_FOLDER,
    github: Annotated[
        str, typer.Option(metavar="OWNER/REPO", help="Also write roles for the workflows of this repository.")
    ] = "",
    environment: Annotated[str, typer.Option(help="GitHub environment whose jobs may deploy.")] = "prod",
) -> None:
    """Write the IAM policies with which Easel can be deployed without an administrator's rights."""
    from easel.cloud.policies.files import write_policies

    print(*map(printable, write_policies(templates or [TEMPLATE_FOLDER], out, github, environment)), sep="\n")


_SWITCH_CODES = "Exit codes: 0 success, 1 failed, 2 usage error, 3 no AWS credentials or no region."
EPILOGS = {
    "doctor": "\b\nExamples:\n  easel doctor\n  easel doctor -c model=sdxl -c mode=realtime --region eu-west-1\n"
    "  easel doctor --request\n\n\b\nSymbols: ✓ ok, ✗ failed, ? unknown: the check could not be completed.\n"
    "Exit codes: 0 all checks passed, 1 a check failed or is unknown, 2 usage error.",
    "leftovers": "\b\nExamples:\n  easel leftovers\n  easel leftovers --region us-east-1 --region eu-west-1\n"
    "  easel leftovers --all-regions --json\n\nExit codes: 0 nothing is left, 1 resources are left or the scan is "
    "incomplete, 2 usage error, 3 no AWS credentials or no region.",
    "outputs": '\b\nExamples:\n  easel outputs\n  easel outputs --export\n  eval "$(easel outputs --export)"\n\n'
    "Only --export prints the API key. The command in the output ApiKeyCommand, for AWS's command line, prints it "
    "too.\n\n"
    "Exit codes: 0 success, 1 failed, 2 usage error, 3 nothing is deployed, no AWS credentials or no region.",
    "pause": "\b\nExamples:\n  easel pause\n  easel pause --region eu-west-1\n\n"
    "While paused, the API responds endpoint_missing. Before the next cdk deploy, resume the endpoint or deploy once "
    f"with -c endpoint=off. cdk destroy needs neither.\n\n{_SWITCH_CODES}",
    "policies": "\b\nExamples:\n  npx cdk synth --all --quiet\n  easel policies\n"
    "  easel policies cdk.out other.out -o policies\n"
    "  easel policies --github octo-org/octo-repo --environment test\n\n"
    "Nothing is sent to AWS: an administrator creates the policies. Several folders give the rights for all of them."
    "\n\nExit codes: 0 success, 2 usage error or no templates, 3 the files cannot be written.",
    "prove": "\b\nExamples:\n  easel prove --usd 5\n  easel prove -c model=emoji --region eu-west-1\n"
    "  easel prove --clean-up\n\nA run that was stopped goes on with `easel prove`. At a failure, at the limit and at "
    "Ctrl-C everything is removed.\n\n"
    "Exit codes: 0 all steps passed, 1 a step failed, 2 usage error, 3 no AWS credentials or no region, 130 or 143 "
    "stopped by Ctrl-C or SIGTERM.",
    "resume": f"\b\nExamples:\n  easel resume\n  easel resume --minutes 60\n\n{_SWITCH_CODES}",
}
"""Command to the text below its help."""
