"""What several suites of the laptop share."""

from collections.abc import Iterator

import pytest

from tests.easel.running import Laptop


@pytest.fixture(scope="session")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """One service for all tests that leave it as it was."""
    data = tmp_path_factory.mktemp("laptop")
    with Laptop(data, FAKE_JOURNAL=str(data / "journal")) as running:
        yield running
