"""Errors of a model that did not load, and retries of those that may pass."""

import gc
import re
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import Any

import torch

from container_log import error_fields, log
from contract import EaselError
from generation.generate import Model
from generation.gpu_memory import GpuMemory, is_context_lost, is_out_of_memory
from loading import load
from loading.parts import PartError
from model_folder import ModelFolderError, printable

RETRY_SECONDS = 60.0
"""Time for an earlier worker to end and free its memory."""
MAX_TRIES = 3
UNKNOWN_CAUSE_HINT = "Read the container's log, and use a model of docs/reference/models.md."
_MODULE_HINT = "Install it on a laptop. The serving image cannot get it: use a model of docs/reference/models.md there."
_REASON_CHARS = 400
_SMALLER_HINT = "Use a smaller model or a larger machine; in the cloud, a larger instance_type."


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
        cause = _library_error(error)
        if isinstance(cause, RuntimeError) and is_context_lost(cause):
            GpuMemory().give_up()
    if tries_left:  # outside of the `except` block, where the traceback keeps the tensors alive
        gc.collect()
        torch.cuda.empty_cache()
    return NotLoadedError(reason, folder, tries_left)


def to_easel_error(error: Exception) -> EaselError:
    """Return an error that callers may see: with the part, the file and the library's reason, without paths."""
    if isinstance(error, EaselError):
        return error
    if isinstance(error, ModelFolderError):
        return EaselError("config_error", error.message, hint=error.hint)
    cause = _library_error(error)
    if _lacks_memory(cause):
        return EaselError("config_error", "the machine has too little memory to load the model", hint=_SMALLER_HINT)
    if isinstance(cause, RuntimeError) and is_out_of_memory(cause):
        return EaselError("gpu_out_of_memory", "the model does not fit into the GPU's memory", hint=_SMALLER_HINT)
    if isinstance(cause, RuntimeError) and is_context_lost(cause):
        hint = "The model is restarted; send the request again."
        return EaselError("model_error", "the GPU is in an error that only a new process clears", hint=hint)
    if isinstance(cause, ImportError) and cause.name:
        message = f"the model needs the Python module {cause.name}, which is not installed"
        return EaselError("config_error", message, hint=_MODULE_HINT)
    reason = f"{type(cause).__name__}: {readable(str(cause))}" if str(cause) else type(cause).__name__
    if isinstance(error, PartError):
        part = error.component
        message = f"{part.name} ({part.class_name}, {error.file}) does not load: {reason}"
        return EaselError(
            "config_error", message, hint=_MODULE_HINT if isinstance(cause, ImportError) else _part_hint()
        )
    return EaselError("config_error", f"the model does not load: {reason}", hint=UNKNOWN_CAUSE_HINT)


def readable(text: str) -> str:
    """Return the text of a library in one line, without folders of the machine."""
    text = re.sub(r"(?<![\w/:])(?:/[^/\n\"']+?)*/[^/\s\"']*easel-model-[^/\s]*/", "", text)
    text = re.sub(r"(?<![\w/:])(?:/[^/\s\"'`]+)+/", "", text)
    return printable(" ".join(text.split()))[:_REASON_CHARS]


def _part_hint() -> str:
    versions = " and ".join(f"{name} {version(name)}" for name in ("diffusers", "transformers"))
    return f"Save the part again with {versions} or older versions, or use a model of docs/reference/models.md."


def _library_error(error: Exception) -> Exception:
    cause = error.__cause__
    return cause if isinstance(error, PartError) and isinstance(cause, Exception) else error


def _lacks_memory(error: Exception) -> bool:
    """torch and the operating system have no class of their own for this, only a message."""
    return isinstance(error, MemoryError) or bool(re.search(r"can(no|')t allocate memory", str(error), re.IGNORECASE))


def _may_pass(error: Exception) -> bool:
    error = _library_error(error)
    return _lacks_memory(error) or (isinstance(error, RuntimeError) and is_out_of_memory(error))


def _cause(error: Exception) -> dict[str, Any]:
    """Return log fields. Libraries cannot quote a prompt here: no request has been made yet."""
    if isinstance(error, EaselError | ModelFolderError):
        return {}
    error = _library_error(error)
    return {"cause": str(error)[:500], **error_fields(error)}
