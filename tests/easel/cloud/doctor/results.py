"""What the doctor's tests expect of a result."""

from __future__ import annotations

from easel.cloud.doctor.check import Result, Status


def assert_result(result: Result | None, status: Status, *message: str, remedy: str = "") -> None:
    """Assert status, parts of the message such as names and numbers, and a part of the remedy.

    A result that is ok has no remedy unless `remedy` is given; a failed result always has one.
    """
    assert result is not None
    assert result.status == status, result
    for part in message:
        assert part in result.message, result
    if status == "ok" and not remedy:
        assert result.remedy == ""
    else:
        assert result.remedy or status == "unknown"
        assert remedy in result.remedy, result
