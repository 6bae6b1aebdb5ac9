"""A folder that did not load: why, as an error of ours, and when another try may help."""

import gc
import re
from pathlib import Path
from time import monotonic
from typing import Any

import torch

from container_log import log, traced
from contract import EaselError
from generation.generate import Model
from generation.gpu_memory import Memory, lost_context, ran_out
from loading import load as loading

AGAIN_SECONDS = 60.0
"""Long enough for a worker that is on its way out to give back what it held."""
TRIES = 3
AT_A_LOSS = "See its log; then release the folder again, or another model."


class NotLoadedError(EaselError):
    """Stands in the place of the model, since the toolkit would swallow what is raised, call itself healthy, and load
    anew at every call. `tries` are left, for what may pass by itself."""

    def __init__(self, told: EaselError, folder: Path, tries: int) -> None:
        super().__init__(told.code, told.message, hint=told.hint, param=told.param)
        self._folder, self._tries, self._due = folder, tries, monotonic() + AGAIN_SECONDS
        self._later: Model | NotLoadedError | None = None

    def now(self) -> "Model | NotLoadedError":
        """The model, where another try was due and helped; else why there is none."""
        if self._later is None and self._tries and monotonic() >= self._due:
            self._later = load(self._folder, self._tries)
        if isinstance(self._later, NotLoadedError):
            return self._later.now()
        return self._later or self


def load(folder: Path, tries: int = TRIES) -> Model | NotLoadedError:
    """The model in `folder`, or why it is refused. Raises nothing."""
    try:
        return loading.load(folder)
    except Exception as error:
        told, left = explain(error), tries - 1 if _may_pass(error) else 0
        log("refused", code=told.code, message=told.message, tries_left=left, **_cause(error))
        if isinstance(error, RuntimeError) and lost_context(error):
            Memory().give_up()
    if left:  # outside of the block, in which the traceback keeps the tensors alive
        gc.collect()
        torch.cuda.empty_cache()
    return NotLoadedError(told, folder, left)


def explain(error: Exception) -> EaselError:
    """What went wrong and the way out, in words that callers may see: no path and no text of a library."""
    if isinstance(error, EaselError):
        return error
    if _lacks_memory(error):
        told = "the machine's memory is too small to load the model"
        return EaselError("config_error", told, hint="Deploy a larger instance_type, or a smaller model.")
    if isinstance(error, RuntimeError) and ran_out(error):
        told = "the model does not fit into the GPU's memory"
        return EaselError("gpu_out_of_memory", told, hint="Deploy a larger instance_type, or a smaller model.")
    if isinstance(error, RuntimeError) and lost_context(error):
        told = "the card is in an error from which no process recovers"
        return EaselError("model_error", told, hint="The model is started anew; send the request again.")
    if isinstance(error, ImportError):
        told = f"the serving image lacks {error.name or 'a module'}, which the model needs"
        return EaselError("config_error", told, hint="Deploy another model: docs/models.md has those that it runs.")
    told = f"the model does not load ({type(error).__name__})"
    return EaselError("config_error", told, hint=AT_A_LOSS)


def _lacks_memory(error: Exception) -> bool:
    """Also as torch and the operating system say it, who have no class of their own for it."""
    return isinstance(error, MemoryError) or bool(re.search(r"can(no|')t allocate memory", str(error), re.IGNORECASE))


def _may_pass(error: Exception) -> bool:
    return _lacks_memory(error) or (isinstance(error, RuntimeError) and ran_out(error))


def _cause(error: Exception) -> dict[str, Any]:
    """For the log. Nobody has called yet, so that no library has a prompt to quote."""
    return {} if isinstance(error, EaselError) else {"cause": str(error)[:500], **traced(error)}
