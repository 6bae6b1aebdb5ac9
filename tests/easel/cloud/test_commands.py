"""Options and exit codes of the cloud commands."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from easel.cli import app
from easel.console.errors import ENVIRONMENT, USAGE


@pytest.mark.parametrize(
    "arguments",
    [
        ["doctor", "-c", "modell=x"],
        ["doctor", "--region", "Frankfurt"],
        ["pause", "--minutes", "0"],
        ["outputs", "--export", "--json"],
        ["leftovers", "--region", "Frankfurt"],
    ],
)
def test_usage_errors(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == USAGE


@pytest.mark.parametrize("command", ["leftovers", "outputs", "pause", "resume"])
def test_without_a_region_the_exit_code_is_that_of_the_environment(command: str) -> None:
    result = CliRunner().invoke(app, [command])
    assert (result.exit_code, "AWS_REGION" in result.stderr) == (ENVIRONMENT, True)
