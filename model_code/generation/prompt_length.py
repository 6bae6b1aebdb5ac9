"""How much of a prompt the text encoder reads. Pipelines put texts before it, and truncate at lengths of their own."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_NO_LIMIT = 2**30
_PLACE = "\ue000"
"""Stands for the prompt in a chat template. It is for private use, so no template has it."""


@dataclass(frozen=True)
class _Window:
    """What the encoder reads: `tokens` tokens of `before` and the prompt together, special tokens included."""

    tokens: int
    before: str = ""
    special: bool = True
    """The tokenizer adds its special tokens."""


def truncation_warnings(pipeline: Any, parameters: Mapping[str, Any], texts: Mapping[str, str]) -> list[str]:
    """Return a warning for each text that the text encoder with the longest input truncates.

    `parameters` are those of the pipeline's `__call__`, `texts` are by name, such as `Prompt 1`, `negative_prompt`.
    """
    found = _largest_tokenizer(pipeline)
    tokenizer = getattr(found, "tokenizer", found)  # FLUX.2 has a processor of texts and images
    if not hasattr(tokenizer, "num_special_tokens_to_add"):
        return []
    warnings = []
    for name, text in texts.items():
        window = _window(pipeline, parameters, tokenizer, name == "negative_prompt")
        before = _count(tokenizer, window.before)
        length = _count(tokenizer, window.before + _as_read(pipeline, text)) - before
        usable = window.tokens - before - (tokenizer.num_special_tokens_to_add() if window.special else 0)
        if length > usable:
            warnings.append(f"{name} has {length} tokens; this model reads the first {max(0, usable)}.")
    return warnings


def _largest_tokenizer(pipeline: Any) -> Any:
    """Pipelines number their tokenizers by size: tokenizer (CLIP), tokenizer_2 (CLIP or T5), tokenizer_3 (T5)."""
    names = ("tokenizer_3", "tokenizer_2", "tokenizer")
    return next((found for name in names if (found := getattr(pipeline, name, None)) is not None), None)


def _count(tokenizer: Any, text: str) -> int:
    return len(tokenizer(text, add_special_tokens=False, verbose=False).input_ids)


def _window(pipeline: Any, parameters: Mapping[str, Any], tokenizer: Any, negative: bool) -> _Window:
    """Return the window of a pipeline. An own limit replaces the tokenizer's, but not CLIP's of SD3 without T5."""
    own = getattr(parameters.get("max_sequence_length"), "default", None)
    if own is None or getattr(pipeline, "tokenizer_3", tokenizer) is None:
        return _Window(getattr(tokenizer, "model_max_length", _NO_LIMIT))
    name = type(pipeline).__name__.replace("Img2Img", "")
    if name not in _WINDOWS or (negative and name in _WITHOUT_NEGATIVE):
        return _Window(own)
    return _WINDOWS[name](pipeline, own, tokenizer)


def _as_read(pipeline: Any, text: str) -> str:
    """Return the text as the pipeline changes it before the tokenizer."""
    if type(pipeline).__name__ == "SanaPipeline":
        return text.lower().strip()
    return text.replace("[IMG]", "") if type(pipeline).__name__ == "Flux2Pipeline" else text


# --- pipelines with a text before the prompt -----------------------------------------------------


def _before_in_chat(tokenizer: Any, messages: list[dict[str, Any]], **options: Any) -> str:
    """Return the text of a chat template before _PLACE."""
    text: str = tokenizer.apply_chat_template(messages, tokenize=False, **options)
    return text.partition(_PLACE)[0]


def _from_user(content: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


def _z_image(pipeline: Any, own: int, tokenizer: Any) -> _Window:
    options = {"add_generation_prompt": True, "enable_thinking": True}
    return _Window(own, _before_in_chat(tokenizer, _from_user(_PLACE), **options))


def _flux_2_klein(pipeline: Any, own: int, tokenizer: Any) -> _Window:
    options = {"add_generation_prompt": True, "enable_thinking": False}
    return _Window(own, _before_in_chat(tokenizer, _from_user(_PLACE), **options))


def _flux_2(pipeline: Any, own: int, tokenizer: Any) -> _Window:
    texts = {"system": pipeline.system_message, "user": _PLACE}
    messages = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in texts.items()]
    return _Window(own, _before_in_chat(pipeline.tokenizer, messages, add_generation_prompt=False), special=False)


def _ovis(pipeline: Any, own: int, tokenizer: Any) -> _Window:
    """The states of the first tokens, which are not the prompt's, are left out after encoding."""
    options = {"add_generation_prompt": True, "enable_thinking": False}
    before = _before_in_chat(tokenizer, _from_user(pipeline.system_prompt + _PLACE), **options)
    return _Window(own + pipeline.user_prompt_begin_id, before, special=False)


def _qwen(pipeline: Any, own: int, tokenizer: Any) -> _Window:
    """As Ovis."""
    tokens = min(own, pipeline.tokenizer_max_length) + pipeline.prompt_template_encode_start_idx
    return _Window(tokens, pipeline.prompt_template_encode.partition("{}")[0])


def _lumina_2(pipeline: Any, own: int, tokenizer: Any) -> _Window:
    return _Window(own, f"{pipeline.system_prompt} <Prompt Start> ")


def _sana(pipeline: Any, own: int, tokenizer: Any) -> _Window:
    """An instruction comes before the prompt and makes the window longer by its length, less two."""
    instruction = "\n".join(inspect.signature(pipeline.__call__).parameters["complex_human_instruction"].default)
    return _Window(_count(tokenizer, instruction) + tokenizer.num_special_tokens_to_add() + own - 2, instruction)


_WINDOWS: Mapping[str, Callable[[Any, int, Any], _Window]] = {
    "Flux2KleinPipeline": _flux_2_klein,
    "Flux2Pipeline": _flux_2,
    "Lumina2Pipeline": _lumina_2,
    "OvisImagePipeline": _ovis,
    "QwenImageEditPlusPipeline": lambda *_: _Window(_NO_LIMIT),
    "QwenImagePipeline": _qwen,
    "SanaPipeline": _sana,
    "ZImagePipeline": _z_image,
}
_WITHOUT_NEGATIVE = ("Lumina2Pipeline", "SanaPipeline")
"""They put nothing before a negative prompt."""
