"""The `easel` command. Commands import what they need when they run, so that help is fast."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from easel import IN_CHECKOUT
from easel.connect import command as connect
from easel.console.errors import ENVIRONMENT, CommandError
from easel.console.output import checked_output
from easel.console.program_name import COMMANDS, version, with_program_name
from easel.mcp import command as mcp

CLIENT_COMMANDS = ("generate", "connect", "mcp")
"""Commands that an installation without the checkout has."""


class _Commands(TyperGroup):
    """All commands, with whole descriptions in the help, and a standard output that cannot crash them."""

    def main(self, *args: Any, **options: Any) -> Any:
        with checked_output():
            return super().main(*args, **options)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if not IN_CHECKOUT and cmd_name in COMMANDS and cmd_name not in CLIENT_COMMANDS:
            raise CommandError(
                "This command needs the repository",
                where=f"easel {cmd_name}",
                why="only the client is installed here",
                fix="Clone Easel's repository, run `make up` there, and use its .venv/bin/easel.",
                code=ENVIRONMENT,
            )
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        names = [name for name in self.commands if IN_CHECKOUT or name in CLIENT_COMMANDS]
        rows = [(name, (self.commands[name].help or "").partition("\n")[0]) for name in names]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


app = typer.Typer(
    cls=_Commands,
    help="Run your own text-to-image service, on this machine or on AWS.",
    epilog=with_program_name(
        'Get started: run `easel up`, then in a second terminal `easel generate "a red apple"`.\n\n'
        "Exit code 4 of every command: standard output cannot be written."
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

MorePrompts = Annotated[
    list[str] | None, typer.Option("--prompt", metavar="<str>", help="Further prompt; can be repeated.")
]
Mask = Annotated[Path | None, typer.Option(help="Image that is white where the initial image is generated anew.")]
Outpaint = Annotated[
    str | None, typer.Option(metavar="SIDE=N,…", help="Extend the initial image by pixels, e.g. left=64,right=64.")
]
PromptSyntax = Annotated[
    str | None, typer.Option(help="plain, or weighted: (word:1.3), [word], BREAK, and long prompts.")
]
ClipSkip = Annotated[int | None, typer.Option(help="Layer of CLIP to use: 1 is the last, 2 the one before.")]
Content = Annotated[str | None, typer.Option(help="refuse, or flag: get images that the safety checker flags.")]
HiresScale = Annotated[float | None, typer.Option(help="Generate once more at 1.5 to 2 times the size.")]
HiresStrength = Annotated[float | None, typer.Option(help="How much that changes the image, 0.01 to 1.")]
HiresSteps = Annotated[int | None, typer.Option(help="Inference steps of the second pass.")]
WebhookUrl = Annotated[
    str | None, typer.Option("--webhook", metavar="<url>", help="URL that gets the job when it has ended.")
]
Loras = Annotated[
    list[str] | None,
    typer.Option("--lora", metavar="ID[:SCALE]", help="LoRA of the model, from GET /models; can be repeated."),
]
EditImages = Annotated[
    list[Path] | None,
    typer.Option("--image", metavar="FILE", help="Image to edit by instruction; can be repeated. See GET /models."),
]
Controls = Annotated[
    list[str] | None,
    typer.Option(
        "--control",
        metavar="ID=FILE[,…]",
        help="ControlNet of the model with its image, e.g. pose=pose.png,scale=0.8; also start, end, preprocess=canny. "
        "Can be repeated.",
    ),
]
Embed = Annotated[
    bool, typer.Option("--embed-parameters", help="Write the parameters into each file, in AUTOMATIC1111's format.")
]


Models = Annotated[
    list[str] | None,
    typer.Option(
        metavar="<str>",
        help=with_program_name(
            "Model id from `easel models`, or path of a catalogue entry; default: emoji. Can be repeated: the first "
            "generates requests that name no model. It is loaded at once, each other one by its first job."
        ),
    ),
]


Memory = Annotated[
    float | None,
    typer.Option(min=0.1, metavar="<GB>", help="Memory for all models together; default: what the machine has."),
]
ModelId = Annotated[str | None, typer.Option(help="Id of the model, from GET /models; default: the first.")]


def _print_version(requested: bool) -> None:
    if requested:
        print(f"easel {version()}")
        raise typer.Exit


@app.callback()
def _main(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None: ...


@app.command(
    epilog=with_program_name("""\b
Examples:
  easel up
  easel up --port 8000 --model emoji
  easel up --model emoji --model sd-1.5 --memory 12
  easel up --host 0.0.0.0 --key "$(openssl rand -hex 16)"
  easel up --public-url https://example.com/easel/
  easel up --webhooks http://127.0.0.1:9000

\b
Exit codes: 0 stopped by Ctrl-C or a signal, 1 no model or the API did not start, 2 usage error,
3 port, data folder or model files not available.
""")
)
def up(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, metavar="<int>", help="Port to listen on.")] = 7860,
    model: Models = None,
    memory: Memory = None,
    data: Annotated[Path, typer.Option(help="Folder for jobs, images and logs.")] = Path(".easel"),
    key: Annotated[
        str | None,
        typer.Option(envvar="EASEL_KEY", help="API key that requests must send. Required with a public --host."),
    ] = None,
    public_url: Annotated[
        str | None,
        typer.Option(envvar="EASEL_PUBLIC_URL", metavar="<url>", help="Address of a reverse proxy that serves Easel."),
    ] = None,
    webhooks: Annotated[
        list[str] | None,
        typer.Option(
            metavar="<public|origin>",
            help="Send webhooks: to all public https URLs, or to an origin such as http://127.0.0.1:9000, wherever it "
            "is. Can be repeated. Without it no webhook is sent.",
        ),
    ] = None,
    content: Annotated[
        str,
        typer.Option(metavar="<refuse|flag>", help="What requests may choose for images that a safety checker flags."),
    ] = "refuse",
    container: Annotated[str, typer.Option(hidden=True)] = "easel.laptop.container.server",
) -> None:
    """Run the page, the API and the models on this machine."""
    from easel.laptop.public_url import PublicUrl
    from easel.laptop.settings import DEFAULT_MODELS, GB, Settings
    from easel.laptop.up import run

    public, key = PublicUrl.parse(public_url) if public_url else None, key or None
    allowed = tuple(webhooks or ())
    run(Settings(host=host, port=port, models=tuple(model or DEFAULT_MODELS), data=data, key=key, container=container,
                 memory=int(memory * GB) if memory else None, public=public, webhooks=allowed,
                 content=content))  # fmt: skip


@app.command(
    epilog=with_program_name("""\b
Examples:
  easel generate "a red apple"
  easel generate "a red apple" --prompt "a bus" -n 2 --seed 7 -o out/
  easel generate "a red apple" --model sd-1.5
  easel generate "a pear" --init-image apple.png --strength 0.6
  easel generate "a tree" --init-image apple.png --mask mask.png
  easel generate "put the hat on the cat" --image cat.png --image hat.png
  easel generate "a dancer" --control pose=pose.png,scale=0.8
  easel generate "a (red:1.3) apple" --prompt-syntax weighted --hires-scale 1.5
  easel generate "a red apple" --url https://… --key …      (or EASEL_URL, EASEL_KEY)

Options that are not set use the model's defaults. Without --seed, a random seed is used and printed.

\b
Exit codes: 0 success, 1 failed, 2 usage error, 3 API not reachable or key refused,
4 standard output cannot be written, 130 or 143 stopped by Ctrl-C or SIGTERM (cancels the job).
""")
)
def generate(
    prompt: Annotated[str, typer.Argument(help="Text that describes the image.", show_default=False)],
    more: MorePrompts = None,
    model: ModelId = None,
    negative: Annotated[str | None, typer.Option(help="Text that describes what to avoid.")] = None,
    number: Annotated[int | None, typer.Option("-n", "--number", help="Images per prompt.")] = None,
    size: Annotated[str | None, typer.Option(metavar="WxH", help="Width and height in pixels, e.g. 512x512.")] = None,
    steps: Annotated[int | None, typer.Option(help="Inference steps; more is slower.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale; higher follows the prompt closer.")] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed; the same seed gives the same image.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="Scheduler name, from GET /models.")] = None,
    output_format: Annotated[str | None, typer.Option("--format", help="png, webp or jpeg.")] = None,
    init_image: Annotated[Path | None, typer.Option(help="Image to start from: a PNG, WebP or JPEG file.")] = None,
    strength: Annotated[float | None, typer.Option(help="How much the initial image changes, 0.01 to 1.")] = None,
    image: EditImages = None,
    mask: Mask = None,
    mask_blur: Annotated[int | None, typer.Option(help="Pixels over which the mask's edge fades, 0 to 64.")] = None,
    outpaint: Outpaint = None,
    prompt_syntax: PromptSyntax = None,
    clip_skip: ClipSkip = None,
    content: Content = None,
    hires_scale: HiresScale = None,
    hires_strength: HiresStrength = None,
    hires_steps: HiresSteps = None,
    embed: Embed = False,
    lora: Loras = None,
    control: Controls = None,
    webhook: WebhookUrl = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the image files.")] = Path("out"),
    url: Annotated[str, typer.Option(envvar="EASEL_URL", help="Base URL of the API.")] = "http://127.0.0.1:7860",
    key: Annotated[str | None, typer.Option(envvar="EASEL_KEY", help="API key.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Generate images from prompts and write them to files."""
    _generate(**locals())


_FIELDS = {
    "negative": "negative_prompt", "number": "num_images_per_prompt", "steps": "num_inference_steps",
    "guidance": "guidance_scale", "mask": "mask_image",
}  # fmt: skip
"""Options to the fields of a request, where the names differ."""


def _generate(
    url: str, key: str | None, out: Path, as_json: bool, prompt: str, more: list[str] | None, **options: Any
) -> None:
    """Generate with the parameters of `generate`."""
    from easel.client.generate import run

    hires = {name: options.pop(f"hires_{name}") for name in ("scale", "strength", "steps")}
    fields: dict[str, Any] = {"hires": _without_none(**hires) or None, **_parse_size(options.pop("size"))}
    fields |= {"embed_parameters": options.pop("embed") or None, "images": options.pop("image") or None}
    fields["outpaint"] = _parse_margins(options.pop("outpaint"))
    fields |= {"loras": _parse_loras(options.pop("lora")), "control": _parse_controls(options.pop("control"))}
    fields = {_FIELDS.get(name, name): value for name, value in (options | fields).items()}
    run(url, key, out, as_json, [prompt, *(more or [])], **_without_none(**fields))


app.command(epilog=with_program_name(connect.EPILOG))(connect.connect)
app.command(epilog=with_program_name(mcp.EPILOG))(mcp.mcp)

if IN_CHECKOUT:
    from easel.cloud import commands, key_commands
    from easel.models import command as models

    for command in (
        commands.doctor,
        commands.outputs,
        commands.leftovers,
        commands.pause,
        commands.resume,
        commands.policies,
        commands.prove,
    ):
        app.command(epilog=with_program_name(commands.EPILOGS[command.__name__]))(command)
    app.add_typer(key_commands.app, name="keys")
    app.add_typer(models.app, name="models")


def _without_none(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _parse_margins(margins: str | None) -> dict[str, int] | None:
    if margins is None:
        return None
    if not re.fullmatch(r"((left|right|top|bottom)=\d{1,5}(,(?!$)|$)){1,4}", margins, re.ASCII):
        raise typer.BadParameter(f"{margins!r} is not like left=64,right=64", param_hint="--outpaint")
    return {side: int(pixels) for side, _, pixels in (part.partition("=") for part in margins.split(","))}


def _parse_loras(loras: list[str] | None) -> list[dict[str, str | float]] | None:
    """Return the LoRAs of options like `flat` and `flat:0.8`."""
    parsed: list[dict[str, str | float]] = []
    for option in loras or ():
        id, colon, scale = option.partition(":")
        if not id or (colon and not re.fullmatch(r"-?\d{1,3}(\.\d{1,9})?", scale, re.ASCII)):
            raise typer.BadParameter(f"{option!r} is not like flat or flat:0.8", param_hint="--lora")
        parsed.append({"id": id, "scale": float(scale)} if colon else {"id": id})
    return parsed or None


def _parse_controls(controls: list[str] | None) -> list[dict[str, str | float]] | None:
    """Return the ControlNets of options like `pose=pose.png,scale=0.8`."""
    parsed: list[dict[str, str | float]] = []
    for option in controls or ():
        found = re.fullmatch(
            r"(?P<id>[^=]+)=(?P<image>.+?)(?P<more>(,(scale|start|end)=[0-9.]{1,9}|,preprocess=[a-z]{1,40})*)", option
        )
        settings = [setting.split("=") for setting in (found["more"] if found else "").split(",")[1:]]
        try:
            numbers = {name: value if name == "preprocess" else float(value) for name, value in settings}
        except ValueError:
            found = None
        if not found:
            raise typer.BadParameter(f"{option!r} is not like pose=pose.png,scale=0.8", param_hint="--control")
        parsed.append({"id": found["id"], "image": found["image"], **numbers})
    return parsed or None


def _parse_size(size: str | None) -> dict[str, int]:
    if size is None:
        return {}
    width, _, height = size.lower().replace("×", "x").partition("x")
    if not (re.fullmatch(r"\d{1,5}", width, re.ASCII) and re.fullmatch(r"\d{1,5}", height, re.ASCII)):
        raise typer.BadParameter(f"{size!r} is not like 512x512", param_hint="--size")
    return {"width": int(width), "height": int(height)}
