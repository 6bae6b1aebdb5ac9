"""The article's form: every value arrives as a text."""

from __future__ import annotations

from collections.abc import Mapping

from backends import LENGTH, PROMPT, WIDTH, DrawError, Limits, Order


def parse(form: Mapping[str, str], limits: Limits) -> Order:
    """Raises DrawError that names the field."""
    return Order(
        _prompt(form.get(PROMPT, ""), limits.prompt_chars), _side(form, WIDTH, limits), _side(form, LENGTH, limits)
    )


def _prompt(text: str, most: int) -> str:
    prompt = text.strip()
    if not prompt:
        raise DrawError("empty", field=PROMPT)
    if len(prompt) > most:
        raise DrawError("prompt_too_long", field=PROMPT, maximum=most, length=len(prompt))
    if "\0" in prompt:
        raise DrawError("bad_text", field=PROMPT)
    return prompt


def _side(form: Mapping[str, str], field: str, limits: Limits) -> int:
    text = form.get(field, "").strip()
    if not text:
        raise DrawError("empty", field=field)
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise DrawError("no_number", field=field)
    side = int(text)
    if not limits.minimum <= side <= limits.maximum:
        raise DrawError("side_range", field=field, minimum=limits.minimum, maximum=limits.maximum)
    if side % limits.multiple:
        raise DrawError("side_grid", field=field, multiple=limits.multiple, nearest=side - side % limits.multiple)
    return side
