"""What the documents say exists."""

import re
import subprocess
from dataclasses import fields
from pathlib import Path

import contract
from easel.cli import app as cli
from easel.cloud.commands import EPILOGS
from stacks.config.catalogue import Model, model_ids, read_model
from stacks.config.images import DIFFUSERS
from stacks.config.instances import instance_types
from stacks.config.settings import Settings

ROOT = Path(__file__).parent.parent
FOLDERS = ("docs/**", "models/*", "examples", "training", "web")
PAGES = [*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in ROOT.glob(f"{folder}/*.md"))]


def test_every_error_code_has_its_place() -> None:
    page = (ROOT / "docs/errors.md").read_text()
    told = re.findall(r"^## (\w+)\n\n(\d+)(, retryable)?\.", page, re.MULTILINE)
    assert [(code, int(status), bool(retry)) for code, status, retry in told] == [
        (code, kind.status, kind.retryable) for code, kind in contract.ERRORS.items()
    ]


def test_every_request_field_is_told() -> None:
    page = (ROOT / "docs/api.md").read_text()
    table = page[: page.index("## Idempotency")]
    told = set(re.findall(r"`(\w+)`", "\n".join(line for line in table.splitlines() if line.startswith("| `"))))
    assert set(contract.REQUEST_FIELDS) <= told


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target, part in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text()):
            there = page.parent / target if target else page
            assert there.exists(), f"{page.relative_to(ROOT)} links to {target}"
            assert not part or part in _parts(there), f"{page.relative_to(ROOT)} links to {target}#{part}"


def _parts(page: Path) -> set[str]:
    """What GitHub calls the headings."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def test_commands_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        assert set(re.findall(r"\bmake ([a-z]+)$", page.read_text(), re.MULTILINE)) <= targets, page.name


def test_easel_has_the_commands_that_are_told() -> None:
    known = {command.name or command.callback.__name__ for command in cli.registered_commands if command.callback}
    for page in PAGES:
        told = re.findall(r"(?:^|`)(?:\.venv/bin/)?easel ([a-z]+)", page.read_text(), re.MULTILINE)
        assert set(told) <= known, page.name


def test_the_pinned_cdk_has_the_options_of_a_deploy_that_are_told() -> None:
    sources = [*PAGES, *(ROOT / "easel").rglob("*.py"), *(ROOT / "stacks").rglob("*.py")]
    tails = [tail for page in sources for tail in re.findall(r"npx cdk deploy([^`\"\n;,()#]*)", page.read_text())]
    told = {option for tail in tails for option in re.findall(r"--[\w-]+", tail)}
    assert {"--all", "--revert-drift"} <= told
    command = [str(ROOT / "node_modules/.bin/cdk"), "deploy", "--help"]
    known = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told <= set(re.findall(r"--[\w-]+", known))


def test_every_setting_is_told() -> None:
    page = (ROOT / "docs/aws.md").read_text()
    table = page[page.index("## Settings") : page.index("## Regions")]
    told = re.findall(r"`(\w+)`", " ".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `")))
    assert sorted(told) == sorted(field.name for field in fields(Settings))


def test_every_model_is_told() -> None:
    page = (ROOT / "docs/models.md").read_text()
    rows = [_row(read_model(name, ROOT)) for name in model_ids(ROOT)]
    head = "| id | model | licence | size | steps, guidance, scheduler | GPU memory | memory | cheapest types |"
    assert "\n".join([head, "|" + " --- |" * 8, *rows]) in page
    assert f"the serving image has {DIFFUSERS}" in page
    told = re.findall(
        r"`(\w+)`", " ".join(re.findall(r"^\| (`[^{].*?) \|", page[page.index("| key |") :], re.MULTILINE))
    )
    assert sorted([*told, "source"]) == sorted(field.name for field in fields(Model))


def _row(model: Model) -> str:
    width, height = model.sizes[0]
    gpu = f"{model.gpu_memory_gib:g} GiB, {model.dtype}" if model.gpu_memory_gib else "none"
    return (
        f"| `{model.id}` | {model.name} | [{model.licence}]({model.licence_url}) | {width}×{height} "
        f"| {model.steps}, {model.guidance_scale:g}, `{model.scheduler}` "
        f"| {gpu} | {model.host_memory_gib:g} GiB | {', '.join(instance_types(model)[:3])} |"
    )


def test_every_output_is_told() -> None:
    sources = "\n".join(path.read_text() for path in ROOT.glob("stacks/*.py"))
    page = (ROOT / "docs/aws.md").read_text()
    for output in re.findall(r'CfnOutput\(self, "(\w+)"', sources):
        assert f"`{output}`" in page


def test_page_readme_and_command_tell_the_same_ways_to_the_key() -> None:
    texts = {page: (ROOT / page).read_text() for page in ("README.md", "README.zh-CN.md", "docs/aws.md")}
    for language in ("en", "zh-CN"):
        source = (ROOT / f"web/src/locales/{language}.ts").read_text()
        texts[language] = "".join(re.findall(r"keyNote: '(.*)'", source))
    for place, text in texts.items():
        assert re.search(r"ApiKeyCommand`?[^#|]{0,60}easel outputs --export", text), place
    assert "ApiKeyCommand" in EPILOGS["outputs"]
    assert "--export" in EPILOGS["outputs"]


def test_every_route_is_told() -> None:
    source = (ROOT / "lambda/routes/native.py").read_text()
    routes = {f"{verb} {path}" for verb, path in re.findall(r'Route\("(\w+)", "([^"]+)"', source)}
    for page in ("README.md", "README.zh-CN.md"):
        told = set(re.findall(r"`((?:GET|POST|DELETE) /[^`]+)`", (ROOT / page).read_text()))
        assert {route.replace("{id}", "<id>") for route in told} == routes
