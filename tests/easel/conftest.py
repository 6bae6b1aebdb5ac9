"""Fixtures for all tests of `easel`."""

import functools
from collections.abc import Iterator

import pytest
import typer.testing

from tests.easel.running import Laptop

# Each invocation in a test would build all commands again.
typer.testing._get_command = functools.cache(typer.testing._get_command)  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """A service with the fake container, shared by all tests that leave it running."""
    data = tmp_path_factory.mktemp("laptop")
    with Laptop(data, FAKE_JOURNAL=str(data / "journal")) as running:
        yield running
