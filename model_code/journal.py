"""The log: one JSON object a line on standard output, with the length of a prompt and never its words."""

import contextlib
import json
import traceback
from pathlib import Path
from typing import Any


def log(event: str, **facts: Any) -> None:
    with contextlib.suppress(OSError):  # a full disk under the log is no reason to stop drawing
        print(json.dumps({"event": event, **facts}, default=str), flush=True)


def log_failure(error: Exception) -> None:
    """Type and place. The message only of a RuntimeError: that is torch, which has seen no prompt to quote."""
    frames = traceback.extract_tb(error.__traceback__)[-5:]
    message = str(error)[:500] if isinstance(error, RuntimeError) else None
    where = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames]
    log("failed", error=type(error).__name__, message=message, where=where)
