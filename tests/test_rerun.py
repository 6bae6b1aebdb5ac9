"""The second run of tests that failed."""

import pytest

from tests.rerun import without_group


@pytest.mark.parametrize("test", ["tests/a.py::test_b", "tests/a.py::test_b[@c/d]", "tests/a.py::T::test_b[e f]"])
@pytest.mark.parametrize("group", ["", "@browser", "@tests/a.py"])
def test_a_test_is_known_without_its_group(test: str, group: str) -> None:
    assert without_group(test + group) == test
