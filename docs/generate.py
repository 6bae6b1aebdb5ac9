"""Write the generated pages of the reference from the code: `python -m docs.generate`, part of `make docs`.

`--check` writes nothing and fails when a page is not current.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import typer
from typer.testing import CliRunner

import easel.cloud.doctor.run  # noqa: F401  # registers the checks
from docs.generation_times import times
from docs.performance import performance_page
from easel.cli import app as cli
from easel.cloud.doctor.check import CHECKS
from easel.cloud.known_failures import KNOWN_FAILURES
from easel.cloud.leftovers.resource_types import RESOURCE_TYPES
from easel.connect.clients import CLIENTS, Client
from easel.connect.settings import Settings as ClientSettings
from model_importer.model_folder.classes import COMPONENTS, PIPELINES
from stacks.api.alarms import DESCRIPTIONS
from stacks.common.outputs import OUTPUTS
from stacks.config.catalogue import Model, model_ids, read_model
from stacks.config.images import DIFFUSERS
from stacks.config.instances import instance_types
from stacks.config.prices import PAGE, PRICES_DATE, REGION
from stacks.config.settings import MODE_DEFAULTS, PER_MODEL, Settings
from stacks.config.validation import allowed_values
from stacks.model import budget_stop, idle_guard
from stacks.model.stack import DEPLOY_ALARM, DEPLOY_TEXT
from stacks.model.update_rollback import CODES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
CLIENTS_FOLDER = DOCS / "how-to" / "clients"
NOTE = "<!-- Generated from the code by `make docs`. Change the code, not this page. -->"

_INSPECTOR = (
    "The application has a window, and is not run by the tests. In its place MCP Inspector 2.12.0 starts the server "
    "from the same file{} and calls a tool."
)
SESSIONS = {
    "claude-desktop": _INSPECTOR.format(","),
    "cursor": _INSPECTOR.format(","),
    "vscode": _INSPECTOR.format(", with another name for its list of servers,"),
    "open-webui": "Of Open WebUI the router of images is run, from its package and with these settings. The rest of "
    "its server, with database, users and page, is not. Users see only the name of a failed request's status, for "
    "example `[ERROR: Bad Request]`.",
    "sillytavern": "This is SillyTavern's server, run from its source. The page in the browser is not run: `curl` "
    "sends what it sends.",
    "librechat": "LibreChat's server is not run, because it is no package. The program sends the request of its tool "
    "with the package and the version that it uses; the tests send its request to edit, too.",
}
"""Client to what its transcript shows, where that is not the whole client."""


def main() -> None:
    """Write all pages, or with `--check` exit with the names of those that are not current."""
    stale = []
    for name, render in PAGES.items():
        path, text = DOCS / f"{name}.md", render()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(f"docs/{name}.md")
            if "--check" not in sys.argv:
                path.write_text(text, encoding="utf-8")
    if stale and "--check" in sys.argv:
        sys.exit(f"Not current: {', '.join(stale)}. Run `make docs` and commit the result.")


def cli_page() -> str:
    """Return the help of every command."""
    names = _command_names(cli)
    parts = [
        NOTE,
        "# Command line",
        "`make` installs the command as `.venv/bin/easel`. The version: `easel --version`.",
    ]
    for name in names:
        shown = CliRunner().invoke(cli, [*name.split(), "--help"], prog_name="easel", env={"COLUMNS": "110"}).output
        parts.append(f"## easel {name}\n\n```text\n{shown.strip()}\n```")
    return "\n\n".join(parts) + "\n"


def _command_names(app: typer.Typer) -> list[str]:
    """Return the commands, and those of groups with the group's name in front."""
    names = [command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands]
    groups = [(group.name, group.typer_instance) for group in app.registered_groups]
    return names + [f"{group} {name}" for group, inner in groups if inner for name in _command_names(inner)]


def settings_page() -> str:
    """Return all settings with default and meaning."""
    text = (REFERENCE / "settings.md.in").read_text(encoding="utf-8")
    rows = [_row("setting", "allowed", "default", "meaning"), _row("---", "---", "---", "---")]
    for key, field in Settings.model_fields.items():
        by_mode = [f"`{values[key]}` in {mode}" for mode, values in MODE_DEFAULTS.items() if key in values]
        default = ", ".join(by_mode) if by_mode else f"`{field.default}`" if field.default != "" else ""
        rows.append(_row(f"`{key}`", allowed_values(field), default, field.description or ""))
    own = ", ".join(f"`{key}`" for key in PER_MODEL)
    return f"{NOTE}\n\n{text.replace('<!-- settings -->', _lines(rows)).replace('<!-- per model -->', own)}"


def models_page() -> str:
    """Return the catalogue and the classes that a model may consist of."""
    text = (REFERENCE / "models.md.in").read_text(encoding="utf-8")
    heads = ("id", "model", "licence", "size", "steps, guidance, scheduler", "GPU memory", "memory", "cheapest types")
    rows = [_row(*heads), _row(*("---" for _ in heads)), *(_model(read_model(id, ROOT)) for id in model_ids(ROOT))]
    classes = [_row("library", "classes"), _row("---", "---")]
    classes.append(_row("pipelines", ", ".join(f"`{name}`" for name in PIPELINES)))
    classes += [
        _row(library, ", ".join(f"`{name}`" for name in sorted(names))) for library, names in COMPONENTS.items()
    ]
    text = text.replace("<!-- catalogue -->", _lines(rows)).replace("<!-- classes -->", _lines(classes))
    text = text.replace("<!-- times -->", _times()).replace("<!-- prices -->", f"{REGION}, {PRICES_DATE}, {PAGE}")
    return f"{NOTE}\n\n{text.replace('<!-- diffusers -->', f'the serving image has {DIFFUSERS}')}"


def _times() -> str:
    """Return seconds and price of an image, by model and instance type."""
    rows = [_row("model", "instance type", "seconds an image", "USD for 1,000", "how it is known"), _row(*["---"] * 5)]
    for model in (read_model(id, ROOT) for id in model_ids(ROOT)):
        size = "×".join(map(str, model.sizes[0]))
        for time in times(model):
            price = f"{time.usd_per_1000:.2f}"
            about = f"`{model.id}`, {size}, {model.steps} steps"
            rows.append(_row(about, time.instance_type, f"{time.seconds:.2g}", price, f"{time.kind}: {time.source}"))
    return _lines(rows)


def _model(model: Model) -> str:
    width, height = model.sizes[0]
    return _row(
        f"`{model.id}`",
        model.name,
        f"[{model.licence}]({model.licence_url})",
        f"{width}×{height}",
        f"{model.steps}, {model.guidance_scale:g}, `{model.scheduler}`",
        f"{model.gpu_memory_gib:g} GiB, {model.dtype}" if model.gpu_memory_gib else "none",
        f"{model.host_memory_gib:g} GiB",
        ", ".join(instance_types(model)[:3]),
    )


def outputs_page() -> str:
    """Return the outputs of the stacks."""
    rows = [_row(f"`{name}`", meaning) for name, meaning in OUTPUTS.items()]
    head = (
        "# Outputs\n\nWhat the stacks report after a deploy. `easel outputs` prints all of them again; `--json` for "
        "programs."
    )
    return f"{NOTE}\n\n{head}\n\n{_lines([_row('output', 'meaning'), _row('---', '---'), *rows])}\n"


ENDPOINT_ALARMS = {
    "Refusing": "Responses 4xx of the container.",
    "Unanswered": "Mode realtime: the share of requests without a response. 100 % for six minutes rolls back.",
}
"""Alarms of `UpdateRollback` that count no error code."""


def alarms_page() -> str:
    """Return the alarms and what to do about each."""
    texts = {
        **DESCRIPTIONS,
        DEPLOY_ALARM: DEPLOY_TEXT,
        idle_guard.ALARM: idle_guard.DESCRIPTION,
        **budget_stop.DESCRIPTIONS,
    }
    rows = [_row(f"`{name}`", text) for name, text in texts.items()]
    counted = {name: f"Jobs that failed with `{code}`." for name, code in CODES.items()} | ENDPOINT_ALARMS
    return (
        "\n\n".join(
            [
                NOTE,
                "# Alarms",
                "Alarms notify `alert_email`. The mail contains the text of this table.",
                _lines([_row("alarm", "meaning, and what to do"), _row("---", "---"), *rows]),
                "## Alarms of an update",
                "With `update=blue_green` these alarms roll an update back. They send no mail.",
                _lines([_row("alarm", "counts"), _row("---", "---"), *(_row(f"`{k}`", v) for k, v in counted.items())]),
                "## Alarms of autoscaling",
                "In mode `async`, `Waiting` starts the first instance. Application Auto Scaling adds two alarms of its "
                "own, whose names start with `TargetTracking-`. They need no action.",
            ]
        )
        + "\n"
    )


def doctor_page() -> str:
    """Return the doctor's checks, the failures it knows, and the resource types that leftovers searches."""
    checks = [_row(f"`{code}`", check.summary, check.remedy) for code, check in CHECKS.items()]
    failures = [_row(f"`{failure.code}`", failure.explanation, failure.remedy) for failure in KNOWN_FAILURES]
    types = [_row(f"`{each.code}`", each.type) for each in RESOURCE_TYPES]
    return (
        "\n\n".join(
            [
                NOTE,
                "# Doctor checks",
                "`easel doctor` prints one line a check; `--json` prints code, status, message and remedy. The status "
                "is `ok`, `failed` or `unknown`. Exit codes: 0 all checks passed, 1 failed or unknown checks, 2 usage "
                "error.",
                _lines([_row("code", "checks that", "what to do"), _row("---", "---", "---"), *checks]),
                "## Known failures",
                "The doctor compares the failed resource's reason and the container's log with these.",
                _lines([_row("code", "cause", "what to do"), _row("---", "---", "---"), *failures]),
                "## Leftovers",
                "`easel leftovers` searches for these.",
                _lines([_row("code", "resource"), _row("---", "---"), *types]),
            ]
        )
        + "\n"
    )


def clients_page() -> str:
    """Return the list of the clients."""
    text = (CLIENTS_FOLDER / "index.md.in").read_text(encoding="utf-8")
    rows = [_row("client", "API"), _row("---", "---")]
    rows += [_row(f"[{client.title}]({client.name}.md)", client.api) for client in CLIENTS.values()]
    return f"{NOTE}\n\n{text.replace('<!-- clients -->', _lines(rows))}"


def client_page(client: Client) -> str:
    """Return the settings of a client, and a transcript if there is one."""
    settings = ClientSettings("http://127.0.0.1:7860", model="emoji", command=("/home/you/easel/.venv/bin/easel",))
    language = "sh" if client.language == "env" else client.language
    parts = [NOTE, f"# {client.title}"]
    if client.install:
        parts.append(f"```sh\n{client.install}\n```")
    parts.append(f"For a laptop, where any key works (`.venv/bin/easel connect {client.name}`):")
    parts.append(f"```{language}\n{settings.render(client)}\n```")
    parts += settings.notes(client)
    parts.append("For a deployed Easel, with its address and the variable of its key, or the key itself:")
    command = f".venv/bin/easel connect {client.name} --stack"
    parts.append(f"```sh\n{command}\n{command} --show-key\n```")
    if transcript := _transcript(client):
        parts.append("## A session with the embedded model")
        parts += [SESSIONS[client.name]] if client.name in SESSIONS else []
        parts.append(f"```text\n{transcript}\n```")
    return "\n\n".join(parts) + "\n"


def _transcript(client: Client) -> str:
    file = CLIENTS_FOLDER / "transcripts" / f"{client.name}.txt"
    return file.read_text(encoding="utf-8").strip() if file.exists() else ""


def _row(*cells: str) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def _lines(rows: list[str]) -> str:
    return "\n".join(rows)


PAGES: dict[str, Callable[[], str]] = {
    "reference/cli": cli_page,
    "reference/settings": settings_page,
    "reference/models": models_page,
    "reference/outputs": outputs_page,
    "reference/alarms": alarms_page,
    "reference/doctor": doctor_page,
    "explanation/performance": lambda: f"{NOTE}\n\n{performance_page()}",
    "how-to/clients/index": clients_page,
    **{f"how-to/clients/{client.name}": partial(client_page, client) for client in CLIENTS.values()},
}

if __name__ == "__main__":
    main()
