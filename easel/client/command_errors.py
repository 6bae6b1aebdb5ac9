"""Errors of the client as errors of the command line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from easel.client.contract import ERRORS
from easel.client.errors import (
    ApiError,
    ConnectionFailedError,
    EaselError,
    InvalidResponseError,
    JobCancelledError,
    JobError,
    UsageError,
)
from easel.console.errors import ENVIRONMENT, FAILED, USAGE, CommandError

_OPTIONS = {
    "base_url": "--url", "api_key": "--key", "init_image": "--init-image", "mask_image": "--mask",
    "control image": "--control",
}  # fmt: skip
"""Arguments of the client by the option of the command line."""
_EXIT_CODES = {401: ENVIRONMENT, 403: ENVIRONMENT, 404: FAILED, 429: FAILED}


@contextmanager
def command_errors() -> Iterator[None]:
    """Raise an EaselError as CommandError."""
    try:
        yield
    except EaselError as error:
        raise to_command_error(error) from None


def to_command_error(error: EaselError) -> CommandError:
    """Return the error with the names of options, and with its exit code."""
    what, where, fix = error.title, error.where, error.hint
    if isinstance(error, JobError):
        code = error.code or ("cancelled" if isinstance(error, JobCancelledError) else "model_error")
        what = ERRORS[code].title if code in ERRORS else code
    for argument, option in _OPTIONS.items():
        where, fix = where.replace(argument, option), fix.replace(argument, option)
    where = re.sub(r"^images(\[[0-9]+\])?", "--image", where)
    return CommandError(what, where=where, why=error.detail, fix=fix, code=exit_code(error))


def exit_code(error: EaselError) -> int:
    """Return the exit code of the command."""
    if isinstance(error, UsageError):
        return USAGE
    if isinstance(error, ConnectionFailedError | InvalidResponseError):
        return ENVIRONMENT
    if isinstance(error, ApiError) and error.status:
        return _EXIT_CODES.get(error.status, USAGE if error.status < 500 else FAILED)
    return FAILED
