"""The `easel` command. What is heavy is imported where it is used: help takes no time and no network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from easel import __version__
from easel.cloud import commands
from easel.console.errors import told
from easel.console.program_name import as_typed

app = typer.Typer(
    help="Your own text-to-image service.",
    epilog=as_typed('Start with:  easel up   and, in a second terminal,   easel generate "a red apple"'),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Embed = Annotated[
    bool, typer.Option("--embed-parameters", help="Write into each file how it was drawn (A1111's form).")
]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"easel {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None: ...


@app.command(
    epilog=as_typed("""\b
Examples:
  easel up
  easel up --port 8000 --model emoji
  easel up --host 0.0.0.0 --key "$(openssl rand -hex 16)"
""")
)
def up(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 7860,
    model: Annotated[str, typer.Option(help=as_typed("One of `easel models`, or the path of an entry."))] = "emoji",
    data: Annotated[Path, typer.Option(help="Folder that keeps jobs and pictures.")] = Path(".easel"),
    key: Annotated[
        str | None, typer.Option(envvar="EASEL_KEY", help="Callers must send it; needed where others reach --host.")
    ] = None,
    container: Annotated[str, typer.Option(hidden=True)] = "easel.laptop.container.server",
) -> None:
    """Run page, API and model on this machine until Ctrl-C."""
    from easel.laptop.settings import Settings
    from easel.laptop.up import run

    with told():
        run(Settings(host=host, port=port, model=model, data=data, key=key or None, container=container))


@app.command(
    epilog=as_typed("""\b
Examples:
  easel generate "a red apple"
  easel generate "a red apple" --prompt "a bus" -n 2 --seed 7 -o out/
  easel generate "a green apple" --init-image apple.png --strength 0.6
  easel generate "a red apple" --url https://… --key …      (or EASEL_URL, EASEL_KEY)

What is left open is the model's choice; the seed used is always told.
Exit codes: 0 drawn, 1 failed, 2 asked wrongly, 3 nothing to ask, 130 Ctrl-C (cancels the job).
""")
)
def generate(
    prompt: Annotated[str, typer.Argument(help="What to draw.", show_default=False)],
    more: Annotated[list[str] | None, typer.Option("--prompt", help="One more thing to draw; can be repeated.")] = None,
    negative: Annotated[str | None, typer.Option(help="What not to draw.")] = None,
    number: Annotated[int | None, typer.Option("-n", "--number", help="Pictures of each prompt.")] = None,
    size: Annotated[str | None, typer.Option(metavar="WxH", help="Pixels, for example 512x512.")] = None,
    steps: Annotated[int | None, typer.Option(help="More take longer.")] = None,
    guidance: Annotated[float | None, typer.Option(help="How closely to follow the prompt.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed draws the same picture.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="One of the model's.")] = None,
    output_format: Annotated[str | None, typer.Option("--format", help="png, webp or jpeg.")] = None,
    init_image: Annotated[Path | None, typer.Option(help="Picture to start from: a PNG, WebP or JPEG file.")] = None,
    strength: Annotated[float | None, typer.Option(help="How much of it is drawn anew, 0.01 to 1.")] = None,
    embed: Embed = False,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the files.")] = Path("out"),
    url: Annotated[str, typer.Option(envvar="EASEL_URL", help="Where the API is.")] = "http://127.0.0.1:7860",
    key: Annotated[str | None, typer.Option(envvar="EASEL_KEY", help="The API key of a deployed stack.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Draw pictures and write them to files."""
    asked: dict[str, Any] = {
        "prompt": [prompt, *(more or [])],
        "negative_prompt": negative,
        **_sides(size),
        "num_images_per_prompt": number,
        "num_inference_steps": steps,
        "guidance_scale": guidance,
        "seed": seed,
        "scheduler": scheduler,
        "output_format": output_format,
        "strength": strength,
        "embed_parameters": embed or None,
    }
    with told():
        from easel.client.api import Api
        from easel.client.generate import encode, run

        asked["init_image"] = init_image and encode(init_image)
        run(Api(url, key), {name: value for name, value in asked.items() if value is not None}, out, as_json)


@app.command()
def models() -> None:
    """List the models of the catalogue."""
    from easel.laptop.catalogue import entries

    with told():
        for entry in entries():
            profile, (width, height) = entry.profile, entry.profile.sizes[0]
            state = "here" if entry.here else "not on this machine"
            typer.echo(f"{profile.id:<17}{profile.name:<26}{f'{width}×{height}':<11}{profile.licence:<26}{state}")


for command in (commands.doctor, commands.outputs, commands.leftovers, commands.pause, commands.resume):
    app.command(epilog=as_typed(commands.EPILOGS[command.__name__]))(command)


def _sides(size: str | None) -> dict[str, int]:
    if size is None:
        return {}
    width, _, height = size.lower().replace("×", "x").partition("x")
    if not (re.fullmatch(r"\d{1,5}", width, re.ASCII) and re.fullmatch(r"\d{1,5}", height, re.ASCII)):
        raise typer.BadParameter(f"{size!r} is not like 512x512", param_hint="--size")
    return {"width": int(width), "height": int(height)}
