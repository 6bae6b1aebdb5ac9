"""Fixtures for all tests of `easel`."""

from collections.abc import Iterator

import pytest

from tests.easel.running import Laptop


@pytest.fixture(scope="session")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """A service with the fake container, shared by all tests that leave it running."""
    data = tmp_path_factory.mktemp("laptop")
    with Laptop(data, FAKE_JOURNAL=str(data / "journal")) as running:
        yield running
