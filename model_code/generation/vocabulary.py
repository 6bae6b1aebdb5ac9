"""Advice for prompts to a small model that knows few subjects (`vocabulary.json` in its folder)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

EXAMPLES = 5
"""Names in the advice."""
_PROMPT_WORDS = 50
"""Words of a prompt that are compared with the names."""


@dataclass(frozen=True)
class Vocabulary:
    """The names of each subject that the model knows, the main name first. Empty: the model knows any subject."""

    subjects: tuple[tuple[str, ...], ...] = ()

    def advice(self, prompts: Iterable[str]) -> list[str]:
        """Return a warning for prompts without any known name, with the names nearest to them."""
        unknown = [prompt for prompt in prompts if self.subjects and not self._knows(prompt)]
        if not unknown:
            return []
        examples = ", ".join(self._nearest(" ".join(unknown)))
        where = "the prompt" if len(unknown) == 1 else f"{len(unknown)} of the prompts"
        message = f"This model knows {len(self.subjects)} subjects and found none of them in {where}"
        return [f"{message}. Try for example {examples}; GET /models lists them all."]

    def _names(self) -> list[str]:
        return [name for names in self.subjects for name in names]

    def _knows(self, prompt: str) -> bool:
        text = prompt.lower()
        return any(_contains(text, name) for name in self._names())

    def _nearest(self, text: str) -> list[str]:
        words = re.findall(r"\w+", text.lower())[:_PROMPT_WORDS]
        near = [match for word in words for match in get_close_matches(word, self._names(), n=2, cutoff=0.7)]
        others = (_in_script(names, text.isascii()) for names in self.subjects)
        return list(dict.fromkeys([*near, *others]))[:EXAMPLES]


def _in_script(names: tuple[str, ...], ascii: bool) -> str:
    """Return the first name in the script of the prompt, or the main name."""
    return next((name for name in names if name.isascii() == ascii), names[0])


def _contains(text: str, name: str) -> bool:
    """An ASCII name must be a whole word, also in the plural; Chinese has no spaces between words."""
    if not name.isascii():
        return name in text
    return re.search(rf"(?<!\w){re.escape(name)}(e?s)?(?!\w)", text) is not None
