"""What the doctor's tests expect of a result."""

from __future__ import annotations

from easel.cloud.doctor.check import Result, Status


def assert_result(result: Result | None, status: Status, *message: str, remedy: str = "") -> None:
    """Assert status, parts of the message such as names and numbers, and a part of the remedy.

    An empty `remedy` of a result that is ok means that it has none.
    """
    assert result is not None
    assert result.status == status, result
    for part in message:
        assert part in result.message, result
    if status == "ok" and not remedy:
        assert result.remedy == ""
    else:
        assert result.remedy
        assert remedy in result.remedy, result
