"""The log of the container: one JSON object per line on standard output. It holds no prompts, only their lengths."""

import contextlib
import json
import traceback
from contextvars import ContextVar
from pathlib import Path
from typing import Any

_INFERENCE_ID: ContextVar[str] = ContextVar("inference_id", default="")
_ID_CHARS = 64


def set_inference_id(inference_id: str) -> None:
    """Log the InferenceId of this request until the next one."""
    _INFERENCE_ID.set(inference_id[:_ID_CHARS])


def log(event: str, **fields: Any) -> None:
    """Write one line."""
    with contextlib.suppress(OSError):  # a full disk must not stop the generation
        inference_id = {"inference_id": _INFERENCE_ID.get()} if _INFERENCE_ID.get() else {}
        print(json.dumps({"event": event, **inference_id, **fields}, default=str), flush=True)


def log_exception(error: Exception) -> None:
    """Log an unexpected exception. Only the message of a RuntimeError is logged: torch has seen no prompt to quote."""
    message = str(error)[:500] if isinstance(error, RuntimeError) else None
    log("failed", message=message, **error_fields(error))


def error_fields(error: Exception) -> dict[str, Any]:
    """Return the type of an exception and its last five places in the code."""
    frames = traceback.extract_tb(error.__traceback__)[-5:]
    return {"error": type(error).__name__, "where": [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames]}
