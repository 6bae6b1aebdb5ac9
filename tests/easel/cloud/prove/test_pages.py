"""The pages about `easel prove` name its steps."""

from __future__ import annotations

import re
from collections.abc import Iterator

from easel.cloud.doc_pages import NOT_SHOWN
from tests.conftest import ROOT
from tests.easel.cloud.prove.fake_run import CODES

BY_HAND = "by hand"


def rows(page: str) -> Iterator[list[str]]:
    """Yield the cells of each row of the page's tables, without headings."""
    for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not line.startswith(("| ---", "| not shown", "| step |")):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_each_line_that_is_not_shown_names_the_step_that_shows_it() -> None:
    lines = list(rows(NOT_SHOWN))
    assert lines
    for cells in lines:
        assert len(cells) == 3, cells
        steps = [step for step in re.findall(r"`([a-z_]+)`", cells[2]) if step in CODES]
        assert steps or cells[2].startswith(BY_HAND), cells


def test_the_guide_has_every_step_in_its_order() -> None:
    steps = [cells[0].strip("`") for cells in rows("docs/how-to/prove.md") if cells[0].startswith("`")]
    assert steps == CODES
