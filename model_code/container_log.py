"""The log: one JSON object a line on standard output, with the length of a prompt and never its words."""

import contextlib
import json
import traceback
from contextvars import ContextVar
from pathlib import Path
from typing import Any

_CALL: ContextVar[str] = ContextVar("call", default="")
_INFERENCE_ID = "x-amzn-sagemaker-inference-id"


def name_call(context: Any) -> None:
    """All lines until the next call carry its InferenceId, where the serving toolkit's `context` tells one."""
    try:
        headers = {name.lower(): text for name, text in context.request_processor[0].get_request_properties().items()}
    except (AttributeError, LookupError, TypeError):
        headers = {}
    told = headers.get(_INFERENCE_ID)
    _CALL.set(told[:64] if isinstance(told, str) else "")


def log(event: str, **facts: Any) -> None:
    with contextlib.suppress(OSError):  # a full disk under the log is no reason to stop drawing
        named = {"inference_id": _CALL.get()} if _CALL.get() else {}
        print(json.dumps({"event": event, **named, **facts}, default=str), flush=True)


def log_failure(error: Exception) -> None:
    """The message only of a RuntimeError: that is torch, which has seen no prompt to quote."""
    log("failed", message=str(error)[:500] if isinstance(error, RuntimeError) else None, **traced(error))


def traced(error: Exception) -> dict[str, Any]:
    """Type and place."""
    frames = traceback.extract_tb(error.__traceback__)[-5:]
    return {"error": type(error).__name__, "where": [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames]}
