"""What the folder of one part must contain, so that it loads and generates."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from .classes import has_weights
from .errors import ModelFolderError
from .index import Component, check_not_quantised

_FROM_TWO_FILES = ("CLIPTokenizer", "CLIPTokenizerFast", "Qwen2Tokenizer", "Qwen2TokenizerFast")
"""Tokenizers that load from vocab.json and merges.txt. The others need tokenizer.json."""
_TOKENIZER_HINT = (
    "Load the tokenizer where sentencepiece is installed and save it again: "
    "AutoTokenizer.from_pretrained(folder).save_pretrained(folder) writes tokenizer.json."
)
_COMPLETE = "Use a complete copy of the model."
_MAX_TOKENS = 1_000_000
"""transformers writes 10**30 for a tokenizer without a limit."""

Settings = Mapping[str, Mapping[str, Any]]
"""The content of each JSON file of a part's folder by its name."""


def check_part(component: Component, names: Collection[str], settings: Settings) -> None:
    """Check the settings of a part, without its weights. Raises ModelFolderError, which names part and file."""
    for name in _needed(component):
        if name not in names:
            raise ModelFolderError(f"{component.name}/{name} is missing", _COMPLETE)
    if has_weights(component.class_name):
        _check_model(component, settings["config.json"])
    elif _is_tokenizer(component):
        _check_tokenizer(component, names, settings)


def check_chat_template(folder: str, names: Collection[str], settings: Settings) -> None:
    """Raise ModelFolderError unless a tokenizer has a chat template."""
    if "chat_template.jinja" not in names and not settings["tokenizer_config.json"].get("chat_template"):
        message = f"{folder} has no chat template (chat_template.jinja), which the pipeline needs"
        raise ModelFolderError(message, f"{_COMPLETE} A download must include *.jinja.")


def _is_tokenizer(component: Component) -> bool:
    """Return whether the part is a tokenizer, or a processor that contains one."""
    return "tokenizer" in component.name


def _needed(component: Component) -> tuple[str, ...]:
    if has_weights(component.class_name):
        return ("config.json",)
    if "Scheduler" in component.class_name:
        return ("scheduler_config.json",)
    return ("tokenizer_config.json",) if _is_tokenizer(component) else ("preprocessor_config.json",)


def _check_model(component: Component, config: Mapping[str, Any]) -> None:
    path = f"{component.name}/config.json"
    check_not_quantised(path, config)
    saved = config.get("_class_name", component.class_name)
    if component.library == "diffusers" and saved != component.class_name:
        message = f"{path} is of {str(saved)[:80]}, but the index names {component.class_name}"
        raise ModelFolderError(message, "Use the part that belongs to this model.")


def _check_tokenizer(component: Component, names: Collection[str], settings: Settings) -> None:
    either = component.class_name in _FROM_TWO_FILES
    if "tokenizer.json" not in names and not (either and {"vocab.json", "merges.txt"} <= {*names}):
        found = ", ".join(sorted(name for name in names if name.endswith((".model", "vocab.json", "merges.txt"))))
        message = f"{component.name} has no tokenizer.json" + (", nor vocab.json with merges.txt" if either else "")
        message += f", only {found[:200]}" if found else ""
        raise ModelFolderError(message, _TOKENIZER_HINT if found else _COMPLETE)
    limit = settings["tokenizer_config.json"].get("model_max_length")
    if component.class_name.startswith("CLIP") and not (isinstance(limit, int) and 0 < limit < _MAX_TOKENS):
        message = f"{component.name}/tokenizer_config.json has no model_max_length"
        raise ModelFolderError(message, "Add the length of the text encoder's input, such as 77.")
