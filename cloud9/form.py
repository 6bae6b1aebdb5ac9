"""The article's form, whose values are all text."""

from __future__ import annotations

from collections.abc import Mapping

from backends import LENGTH, PROMPT, WIDTH, GenerationError, ImageRequest, Limits


def parse(form: Mapping[str, str], limits: Limits) -> ImageRequest:
    """Return the request. Raises GenerationError with the field."""
    return ImageRequest(
        _prompt(form.get(PROMPT, ""), limits.prompt_chars), _side(form, WIDTH, limits), _side(form, LENGTH, limits)
    )


def _prompt(text: str, maximum: int) -> str:
    prompt = text.strip()
    if not prompt:
        raise GenerationError("empty", field=PROMPT)
    if len(prompt) > maximum:
        raise GenerationError("prompt_too_long", field=PROMPT, maximum=maximum, length=len(prompt))
    if "\0" in prompt:
        raise GenerationError("bad_text", field=PROMPT)
    return prompt


def _side(form: Mapping[str, str], field: str, limits: Limits) -> int:
    text = form.get(field, "").strip()
    if not text:
        raise GenerationError("empty", field=field)
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise GenerationError("not_a_number", field=field)
    side = int(text)
    if not limits.minimum <= side <= limits.maximum:
        raise GenerationError("side_range", field=field, minimum=limits.minimum, maximum=limits.maximum)
    if remainder := side % limits.multiple:
        raise GenerationError("side_multiple", field=field, multiple=limits.multiple, nearest=side - remainder)
    return side
