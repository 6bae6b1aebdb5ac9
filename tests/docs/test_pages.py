"""Everything that the documentation names exists."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import contract
from easel.cli import app as cli
from stacks.config.catalogue import read_model
from tests.conftest import ROOT

LIST = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*.md"]
LISTED = {ROOT / line for line in subprocess.check_output(LIST, cwd=ROOT, text=True).split("\0") if line}
PAGES = sorted(page for page in LISTED - {ROOT / "docs/tutorials/notebook.md"} if page.exists())
"""Tracked and new pages. The notebook's copy has links of Jupyter."""
CODE = [
    path
    for folder in ("easel", "stacks", "lambda", "model_code", "cloud9", "custom_resources")
    for path in (ROOT / folder).rglob("*.py")
]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_every_error_code_has_its_section() -> None:
    page = (ROOT / "docs/reference/errors.md").read_text(encoding="utf-8")
    documented = re.findall(r"^## (\w+)\n\n(\d+)(, retryable)?\.", page, re.MULTILINE)
    assert [(code, int(status), bool(retry)) for code, status, retry in documented] == [
        (code, kind.status, kind.retryable) for code, kind in contract.ERRORS.items()
    ]


def test_every_request_field_is_documented() -> None:
    page = (ROOT / "docs/reference/api.md").read_text(encoding="utf-8")
    table = page[page.index("### Request fields") : page.index("### Start from an image")]
    first_cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {*contract.REQUEST_FIELDS, *contract.WEBHOOK_FIELDS} == set(re.findall(r"`(\w+)`", " ".join(first_cells)))


def test_every_route_is_documented() -> None:
    source = (ROOT / "lambda/routes/native.py").read_text(encoding="utf-8")
    routes = {f"{method} {path}" for method, path in re.findall(r'Route\("(\w+)", "([^"]+)"', source)}
    for page in ("README.md", "README.zh-CN.md", "docs/reference/api.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        found = set(re.findall(r"`((?:GET|POST|DELETE) /[^`?]*)`", text)) - {"GET /jobs/{id}/events"}
        assert {route.replace("{id}", "<id>") for route in found} == routes, page


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, part in re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]*))?\)", page.read_text(encoding="utf-8")):
        there = page.parent / target if target else page
        assert there.exists(), f"{name(page)} links to {target}"
        assert not part or part in anchors(there), f"{name(page)} links to {target}#{part}"


def anchors(page: Path) -> set[str]:
    """Return what GitHub and MkDocs call the headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)|[`*]", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_requests_in_examples_are_valid(page: Path) -> None:
    profile = contract.parse_profile(read_model("emoji", ROOT).profile)
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for command in re.findall(r"(?:^|\$\()curl .*? (?:-d|--data) '.*?'", text, re.MULTILINE):
        assert "content-type: application/json" in command, command
        if re.match(r"\S*curl -\w+ \S*(generate|jobs)\b", command):
            values = contract.parse_body(command.split("'")[-2])
            contract.validate_request({key: values[key] for key in contract.REQUEST_FIELDS if key in values}, profile)


def test_pages_that_messages_name_exist() -> None:
    named = {(name(file), page) for file in CODE for page in re.findall(r"docs/[\w./-]+\.md", file.read_text("utf-8"))}
    assert len(named) > 20
    assert [names for names in sorted(named) if not (ROOT / names[1]).exists()] == []


def test_the_map_of_the_code_leads_somewhere() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [^|]*\? \| (.*) \|$", page, re.MULTILINE)
    assert len(rows) > 50
    for row in rows:
        folder = ROOT
        for place in re.findall(r"`([\w./-]+(?:/|\.\w+))`", row):
            paths = [base / place for base in (ROOT, folder, folder.parent) if (base / place).exists()]
            assert paths, f"{row} has no {place}"
            folder = paths[0] if paths[0].is_dir() else paths[0].parent


def test_targets_of_make_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in PAGES:
        found = re.findall(r"(?:^|`)make (?:-j2 )?([a-z][a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(found) <= targets, name(page)


def test_commands_of_easel_exist() -> None:
    known = {command.name or command.callback.__name__ for command in cli.registered_commands if command.callback}
    known |= {str(group.name) for group in cli.registered_groups}
    for page in PAGES:
        found = re.findall(r"(?:^|`)(?:\.venv/bin/)?easel ([a-z]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(found) <= known, name(page)


@pytest.mark.cdk
def test_the_pinned_cdk_has_the_options_that_are_named() -> None:
    tails = [tail for page in [*PAGES, *CODE] for tail in options_of_a_deploy(page)]
    named = {option for tail in tails for option in re.findall(r"--[\w-]+", tail)}
    assert {"--all", "--revert-drift"} <= named
    command = [str(ROOT / "node_modules/.bin/cdk"), "deploy", "--help"]
    help_text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert named <= set(re.findall(r"--[\w-]+", help_text))


def options_of_a_deploy(page: Path) -> Iterator[str]:
    yield from re.findall(r"npx cdk deploy([^`\"\n;,()#|]*)", page.read_text(encoding="utf-8"))


def test_generated_pages_are_current() -> None:
    command = [sys.executable, "-m", "docs.generate", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_both_languages_have_the_same_tutorials() -> None:
    english = {page.name for page in (ROOT / "docs/tutorials").glob("*.md")} - {"notebook.md"}
    assert english == {page.name for page in (ROOT / "docs/zh/tutorials").glob("*.md")}
    for language in ("README.md", "README.zh-CN.md"):
        text = (ROOT / language).read_text(encoding="utf-8")
        assert re.search(r"ApiKeyCommand[^#|]{0,60}--export", text), language


@pytest.mark.parametrize("page", ["first-deploy.md", "from-the-article.md", "laptop.md"])
def test_both_languages_have_the_same_commands(page: str) -> None:
    english, chinese = (commands(ROOT / folder / page) for folder in ("docs/tutorials", "docs/zh/tutorials"))
    assert english == chinese


def commands(page: Path) -> list[str]:
    """Return the shell commands of a page without their comments."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [re.sub(r" +# .*", "", block) for block in blocks]
