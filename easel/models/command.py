"""The commands `easel models …`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from easel import ROOT
from easel.console.errors import ENVIRONMENT, FAILED, CommandError
from easel.console.interrupts import interruptible
from easel.console.printable import printable
from easel.console.program_name import with_program_name
from easel.console.terminal import Terminal

if TYPE_CHECKING:
    from easel.laptop.catalogue import Entry
    from easel.models.proposal import Choices
    from model_importer.sources import Connect

_ENVIRONMENT = """
\b
Variables: HF_TOKEN for gated models of a hub, HF_ENDPOINT for a mirror of the hub, EASEL_MODEL_TOKEN for a link to
civitai.com or to the host in EASEL_MODEL_TOKEN_HOST.
A token is sent to that host alone, not where it redirects to.
"""
NO_HASH = "The entry has no sha256 of the file. A deploy needs it, and easel models pull writes it into the entry."
app = typer.Typer(
    help="List the models of the catalogue; add, download, check and remove them.",
    invoke_without_command=True,
    epilog=with_program_name(
        "\b\nExamples:\n  easel models\n  easel models add Lykon/dreamshaper-8\n  easel models pull sd-1.5\n"
    ),
)
Id = Annotated[str, typer.Argument(metavar="ID", help="Id in the catalogue, or path of an entry.", show_default=False)]
To = Annotated[
    str | None,
    typer.Option(metavar="ID", help="Model that gets a LoRA, a ControlNet or an embedding, into its entry."),
]
Prediction = Annotated[
    Literal["epsilon", "v_prediction"] | None,
    typer.Option(metavar="<name>", help="epsilon or v_prediction: what a checkpoint of Stable Diffusion 2 predicts."),
]
Words = Annotated[
    list[str] | None, typer.Option(metavar="<words>", help="Trigger words of a LoRA, with --to; can be repeated.")
]
Token = Annotated[str | None, typer.Option(help="What a prompt has for an embedding, with --to; default: the id.")]
Preprocess = Annotated[
    Literal["canny"] | None,
    typer.Option(metavar="<name>", help="canny for a ControlNet of edges, with --to: requests may send photos."),
]
Inputs = Annotated[
    str | None,
    typer.Option(
        metavar="<name>", help="zeros, text or text-raw: what a ControlNet of Stable Diffusion 3 reads, with --to."
    ),
]


@app.callback()
def models(context: typer.Context) -> None:
    """List the models of the catalogue; add, download, check and remove them."""
    if context.invoked_subcommand is None:
        list_models()


@app.command("list", short_help="List the models, and whether they are here.")
def list_models() -> None:
    """List the models of the catalogue, and whether they are on this machine."""
    from easel.laptop.catalogue import entries

    missing = False
    for entry in entries():
        profile, (width, height) = entry.profile, entry.profile.sizes[0]
        line = f"{profile.id:<20}{profile.name:<26}{f'{width}×{height}':<11}{profile.licence:<26}{entry.state}"
        print(printable(line))
        missing = missing or not entry.on_this_machine or bool(entry.missing_extras)
    if missing:
        Terminal().print(with_program_name("To download a model that is not on this machine: easel models pull ID"))


@app.command(
    epilog=with_program_name("""\b
Examples:
  easel models add Lykon/dreamshaper-8
  easel models add ./dreamshaper.safetensors --licence "CreativeML OpenRAIL-M"
  easel models add "https://civitai.com/models/4384?modelVersionId=128713"
  easel models add s3://my-bucket/my-model/
  easel models add owner/name/blob/main/style.safetensors --to sd-1.5 --scale 0.8

\b
Exit codes: 0 the entry is written, 1 the model is refused, 2 usage error, 3 the source cannot be reached.
""")
    + _ENVIRONMENT
)
def add(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Repository, link, s3:// URI, file or folder.", show_default=False)
    ],
    id: Annotated[str | None, typer.Option(help="Id of the entry; default: made of the name.")] = None,
    name: Annotated[str | None, typer.Option(help="Name that people read.")] = None,
    licence: Annotated[str | None, typer.Option(help="Name of the licence.")] = None,
    licence_url: Annotated[str | None, typer.Option(metavar="<url>", help="Link to the licence.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, max=150, help="Default number of steps.")] = None,
    guidance: Annotated[float | None, typer.Option(min=0, max=30, help="Default guidance scale.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="Default scheduler.")] = None,
    side: Annotated[int | None, typer.Option(min=64, max=2048, help="Pixels that the model is trained for.")] = None,
    prediction: Prediction = None,
    sha256: Annotated[str | None, typer.Option(metavar="<hex>", help="SHA-256 of the file behind a link.")] = None,
    to: To = None,
    scale: Annotated[float | None, typer.Option(help="Default scale of a LoRA or a ControlNet, with --to.")] = None,
    words: Words = None,
    token: Token = None,
    preprocess: Preprocess = None,
    inputs: Inputs = None,
    folder: Annotated[
        Path, typer.Option(metavar="<dir>", help="Where the entry is written.", show_default="models/")
    ] = ROOT / "models",
) -> None:
    """Read what a model is, and write its catalogue entry. Only settings and headers are read.

    A LoRA, a ControlNet or an embedding goes into the entry of a model: --to.
    """
    from easel.models.proposal import Choices

    choices = Choices(id, name, licence, licence_url, steps, guidance, scheduler, side, prediction, sha256)
    of_extra = {"scale": scale, "words": words or None, "token": token, "preprocess": preprocess, "inputs": inputs}
    if to is not None:
        elsewhere = None if folder == ROOT / "models" else folder
        _check_unused("with --to", licence_url=licence_url, side=side, prediction=prediction, folder=elsewhere)
        _add_extra(source, to, choices, of_extra)
    else:
        _check_unused("without --to", **of_extra)
        _add_model(source, choices, folder)


def _add_model(source: str, choices: Choices, folder: Path) -> None:
    """Write the entry of a model."""
    from easel.models import proposal
    from easel.models.findings import find
    from easel.models.given_source import parse_source

    connect, terminal = _connect(), Terminal()
    with interruptible(), terminal.spinner("Reading the headers"):
        found = find(parse_source(source, _hub_url()), source, connect)
    terminal.print(f"It is {found.kind} ({found.pipeline}), {found.weights_gib:.1f} GiB of weights on a GPU.")
    entry = proposal.propose(found, choices, _ask if sys.stdin.isatty() else proposal.ask_nobody)
    path = proposal.entry_path(entry["id"], folder)
    _write(path, proposal.render(entry))
    print(path)
    for line in _unknowns(found.pipeline, entry, choices):
        terminal.print(line)
    pulled = entry["source"]["kind"] != "folder" or "checkpoint" in entry["source"]
    name = entry["id"] if folder == ROOT / "models" else quote(str(folder / entry["id"]))
    terminal.print(with_program_name(f"Next: easel models pull {name}" if pulled else f"Next: easel up --model {name}"))


def _check_unused(where: str, **options: Any) -> None:
    """Refuse options that would have no effect."""
    if given := [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]:
        raise typer.BadParameter(f"it has no effect {where}; leave it out", param_hint=given[0])


def _add_extra(source: str, to: str, choices: Choices, values: Mapping[str, Any]) -> None:
    """Add a LoRA, a ControlNet or an embedding to the entry of the model `to`."""
    from easel.laptop.catalogue import find
    from easel.models.extras import add_extra
    from easel.models.given_source import parse_source

    entry, terminal = find(to), Terminal()
    with interruptible(), terminal.spinner("Reading the headers"):
        added = add_extra(parse_source(source, _hub_url()), source, entry, choices, values, _connect())
    print(entry.file)
    if added.copied:
        print(added.copied)
    terminal.print(printable(f"{entry.model.id} has the {added.kind.name} {added.id}."))
    for line in added.notes:
        terminal.print(line)
    is_here = find(to).on_this_machine and not find(to).missing_extras
    command = "easel up --model" if is_here else "easel models pull"
    terminal.print(with_program_name(f"Next: {command} {entry.argument}"))


def _unknowns(pipeline: str, entry: dict[str, Any], choices: Any) -> list[str]:
    """Return what the entry only assumes."""
    lines = []
    if choices.steps is None and entry["scheduler"] != "lcm":
        lines.append(
            f"Steps, guidance and scheduler are those usual for {pipeline}. A distilled model (Turbo, Lightning, LCM) "
            "needs others: --steps, --guidance, --scheduler, or the entry."
        )
    lines.append("The memory is that of the weights, which are counted, and room for one image, which is estimated.")
    if entry["source"]["kind"] == "url" and "sha256" not in entry["source"]:
        lines.append(NO_HASH)
    return [with_program_name(line) for line in lines]


def _write(path: Path, text: str) -> None:
    """Write the entry if the catalogue takes it. Raises CommandError, and leaves no file then."""
    from stacks.config.catalogue import CatalogueError, read_model

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        read_model(str(path.absolute()), ROOT)
    except OSError as error:
        raise CommandError(
            "The entry cannot be written",
            where=str(path),
            why=str(error.strerror),
            fix="Use --folder.",
            code=ENVIRONMENT,
        ) from None
    except CatalogueError as error:
        path.unlink()
        why = str(error).removeprefix(f"{path.absolute()}: ")
        raise CommandError("The entry would be invalid", where=str(path), why=why, fix="Correct the options.") from None


@app.command(
    short_help="Download a model, and convert a checkpoint.",
    epilog=with_program_name("""\b
Examples:
  easel models pull sd-1.5
  easel models pull ../my-models/mine

\b
If it is interrupted, run it again: it continues in the middle of a file. Every file is checked against the hash on
record. Exit codes: 0 the files are here, 1 the model is refused, 2 usage error, 3 source or disk not available.
""")
    + _ENVIRONMENT,
)
def pull(id: Id) -> None:
    """Download the files of a model that would be loaded, and convert a single-file checkpoint."""
    from easel.laptop.catalogue import find
    from easel.models.pull import pull as pull_files

    entry = find(id)
    print(pull_files(entry, _connect(), Terminal()))  # a signal ends the process at once: the next run continues
    Terminal().print(with_program_name(f"Next: easel up --model {entry.argument}"))


@app.command(
    short_help="Check whether a model would load.",
    epilog=with_program_name("""\b
Examples:
  easel models check mine

\b
Exit codes: 0 it would load, 1 it is refused, 2 usage error, 3 its files are damaged, not here, or cannot be reached.
""")
    + _ENVIRONMENT,
)
def check(id: Id) -> None:
    """Check a model by the rule of the deploy: its files here, or else those of its source."""
    from easel.laptop.catalogue import find
    from easel.models.findings import model_errors, origin_of
    from stacks.config.catalogue import CatalogueError, FolderSource, UrlSource
    from stacks.config.model_folder import imported_bytes

    entry = find(id)
    if entry.on_this_machine:
        size = sum(file.stat().st_size for file in entry.folder.rglob("*") if file.is_file())
        print(printable(f"{entry.model.id}: would load, {size / 1e9:.2f} GB in {entry.folder}"))
        return
    source, terminal = entry.model.source, Terminal()
    if isinstance(source, FolderSource) and source.checkpoint is None:
        _ = entry.folder  # raises
    with interruptible(), model_errors(origin_of(entry.model)):
        try:
            size = imported_bytes(entry.model, _connect(), needs_hash=False)
        except CatalogueError as error:
            raise CommandError("The model is refused", where=id, why=str(error), fix="", code=FAILED) from None
    print(printable(f"{entry.model.id}: would load, {size / 1e9:.2f} GB, not on this machine"))
    if isinstance(source, UrlSource) and source.sha256 is None:
        terminal.print(with_program_name(NO_HASH))
    terminal.print(with_program_name(f"Next: easel models pull {entry.argument}"))


@app.command(
    short_help="Delete an entry or an item of it, and what `pull` downloaded.",
    epilog=with_program_name("""\b
Examples:
  easel models remove sd-1.5 --files    # frees the disk; easel models pull brings them again
  easel models remove sd-1.5 --extra style
  easel models remove mine

\b
Exit codes: 0 deleted, 1 there is nothing to delete or nobody confirmed it, 2 usage error, 3 it cannot be deleted.
"""),
)
def remove(
    id: Id,
    files_only: Annotated[
        bool, typer.Option("--files", help="Delete only what `pull` downloaded; keep the entry.")
    ] = False,
    extra: Annotated[
        str | None, typer.Option(metavar="ID", help="Delete only this LoRA, ControlNet or embedding of the model.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete the entry of a model and the files that `pull` downloaded. Files of your own stay."""
    from easel.laptop.catalogue import find
    from easel.models.pulled import delete, pulled

    entry = find(id)
    if extra is not None:
        _remove_extra(entry, extra, files_only=files_only, yes=yes)
        return
    folders = pulled(entry)
    paths = [*folders, *([] if files_only else [entry.file])]
    if not paths:
        why = _unmarked(entry) if entry.path.exists() else "easel models pull wrote no file of it"
        fix = f"Delete it yourself, if nothing in it is yours: rm -r {quote(str(entry.path))}"
        raise CommandError("There is nothing to delete", where=id, why=why, fix=fix if entry.path.exists() else "")
    _confirm(paths, yes=yes)
    for path in paths:  # the entry last: without it nothing finds the folders
        try:
            delete(path) if path in folders else path.unlink()
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise CommandError("It cannot be deleted", where=str(path), why=why, fix="", code=ENVIRONMENT) from None
        print(path)
        if path.exists():
            Terminal().print(f"{path} stays, with the files that easel models pull did not write.")
    if entry.path.exists() and entry.path.absolute() not in folders:
        Terminal().print(f"{entry.path} stays: {_unmarked(entry)}. If nothing in it is yours, delete it yourself.")


def _remove_extra(entry: Entry, name: str, *, files_only: bool, yes: bool) -> None:
    """Delete an extra of a model: its item of the entry, and its file if `pull` wrote it."""
    from easel.models.extra_removal import plan_removal

    removal = plan_removal(entry, name, files_only=files_only)
    _confirm(removal.parts, yes=yes)
    removal.run()
    for part in removal.parts:
        print(part)
    for line in removal.notes:
        Terminal().print(line)


def _confirm(parts: Sequence[object], *, yes: bool) -> None:
    """Ask whether to delete. Raises CommandError without a terminal, and Abort for a no."""
    if yes:
        return
    shown = ", ".join(map(str, parts))
    if not sys.stdin.isatty():
        why = "there is no terminal to ask you"
        raise CommandError("Nothing was deleted", where=shown, why=why, fix="Add --yes.")
    typer.confirm(printable(f"Delete {shown}?"), abort=True, err=True)


def _unmarked(entry: Entry) -> str:
    """Return why a folder's files are not deleted."""
    from easel.models.pulled import MARKER
    from stacks.config.catalogue import FolderSource

    if isinstance(entry.model.source, FolderSource) and entry.model.source.checkpoint is None:
        return "it is the source of the entry"
    return f"{entry.path} has no {MARKER}, which easel models pull writes; before November 2026 it wrote none"


def _ask(option: str, question: str) -> str:
    answer: str = typer.prompt(f"{question[0].upper()}{question[1:]}", err=True)
    return answer.strip()


def _hub_url() -> str:
    from stacks.config.settings import HUB

    return (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")


def _connect() -> Connect:
    from easel.laptop.origins import connect

    return connect(_hub_url(), _s3, on_laptop=True)


def _s3() -> Any:
    import boto3

    return boto3.client("s3")
