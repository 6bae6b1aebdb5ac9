"""Errors of a model that did not load, and retries of those that may pass."""

import gc
import re
from pathlib import Path
from time import monotonic
from typing import Any

import torch

from container_log import error_fields, log
from contract import EaselError
from generation.generate import Model
from generation.gpu_memory import GpuMemory, is_context_lost, is_out_of_memory
from loading import load
from model_folder import ModelFolderError

RETRY_SECONDS = 60.0
"""Time for an earlier worker to end and free its memory."""
MAX_TRIES = 3
UNKNOWN_CAUSE_HINT = "Read the container's log; then release the folder again, or another model."
_SMALLER_HINT = "Deploy a larger instance_type, or a smaller model."


class NotLoadedError(EaselError):
    """Returned instead of a model: if `model_fn` raises, the toolkit reports healthy and reloads on every call."""

    def __init__(self, error: EaselError, folder: Path, tries_left: int) -> None:
        super().__init__(error.code, error.message, hint=error.hint, param=error.param)
        self._folder, self._tries_left, self._retry_at = folder, tries_left, monotonic() + RETRY_SECONDS
        self._retried: Model | NotLoadedError | None = None

    def retry_if_due(self) -> "Model | NotLoadedError":
        """Return the model if a retry was due and succeeded, else the latest error."""
        if self._retried is None and self._tries_left and monotonic() >= self._retry_at:
            self._retried = load_or_error(self._folder, self._tries_left)
        if isinstance(self._retried, NotLoadedError):
            return self._retried.retry_if_due()
        return self._retried or self


def load_or_error(folder: Path, tries: int = MAX_TRIES) -> Model | NotLoadedError:
    """Return the model in `folder`, or why it did not load. Raises nothing."""
    try:
        return load.load_model(folder)
    except Exception as error:
        reason, tries_left = to_easel_error(error), tries - 1 if _may_pass(error) else 0
        log("refused", code=reason.code, message=reason.message, tries_left=tries_left, **_cause(error))
        if isinstance(error, RuntimeError) and is_context_lost(error):
            GpuMemory().give_up()
    if tries_left:  # outside of the `except` block, where the traceback keeps the tensors alive
        gc.collect()
        torch.cuda.empty_cache()
    return NotLoadedError(reason, folder, tries_left)


def to_easel_error(error: Exception) -> EaselError:
    """Return an error that callers may see: without paths and without texts of libraries."""
    if isinstance(error, EaselError):
        return error
    if isinstance(error, ModelFolderError):
        return EaselError("config_error", error.message, hint=error.hint)
    if _lacks_memory(error):
        return EaselError("config_error", "the machine has too little memory to load the model", hint=_SMALLER_HINT)
    if isinstance(error, RuntimeError) and is_out_of_memory(error):
        return EaselError("gpu_out_of_memory", "the model does not fit into the GPU's memory", hint=_SMALLER_HINT)
    if isinstance(error, RuntimeError) and is_context_lost(error):
        hint = "The model is restarted; send the request again."
        return EaselError("model_error", "the GPU is in an error that only a new process clears", hint=hint)
    if isinstance(error, ImportError):
        message = f"the serving image lacks {error.name or 'a module'}, which the model needs"
        return EaselError("config_error", message, hint="Deploy a model of docs/reference/models.md.")
    message = f"the model does not load ({type(error).__name__})"
    return EaselError("config_error", message, hint=UNKNOWN_CAUSE_HINT)


def _lacks_memory(error: Exception) -> bool:
    """torch and the operating system have no class of their own for this, only a message."""
    return isinstance(error, MemoryError) or bool(re.search(r"can(no|')t allocate memory", str(error), re.IGNORECASE))


def _may_pass(error: Exception) -> bool:
    return _lacks_memory(error) or (isinstance(error, RuntimeError) and is_out_of_memory(error))


def _cause(error: Exception) -> dict[str, Any]:
    """Return log fields. Libraries cannot quote a prompt here: no request has been made yet."""
    if isinstance(error, EaselError | ModelFolderError):
        return {}
    return {"cause": str(error)[:500], **error_fields(error)}
