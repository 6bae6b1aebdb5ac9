"""What the documents say exists."""

import re
from pathlib import Path

import contract

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("models/*/*.md"), *ROOT.glob("examples/*.md")]


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
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_commands_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        assert set(re.findall(r"\bmake ([a-z]+)$", page.read_text(), re.MULTILINE)) <= targets, page.name
