"""Advice for prompts to a small model that knows few subjects (`vocabulary.json` in its folder)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

EXAMPLES = 5
"""The most names in the advice."""
_PROMPT_WORDS = 50
"""Words of a prompt that are compared with the names."""
_HAN = re.compile(r"[\u4e00-\u9fff]")


@dataclass(frozen=True)
class Vocabulary:
    """The names of each subject that the model knows, the main name first. Empty: the model knows any subject."""

    subjects: tuple[tuple[str, ...], ...] = ()

    def advice(self, prompts: Iterable[str]) -> list[str]:
        """Return a warning for prompts without any known name, with the nearest subjects if there are any."""
        unknown = [prompt for prompt in prompts if self.subjects and not self._knows(prompt)]
        if not unknown:
            return []
        where = "the prompt" if len(unknown) == 1 else f"{len(unknown)} of the prompts"
        message = f"This model knows {len(self.subjects)} subjects and found none of them in {where}"
        nearest = ", ".join(self._nearest(" ".join(unknown)))
        return [f"{message}; the nearest: {nearest}." if nearest else f"{message}."]

    def _names(self) -> list[str]:
        return [name for names in self.subjects for name in names]

    def _knows(self, prompt: str) -> bool:
        text = prompt.lower()
        return any(_contains(text, name) for name in self._names())

    def _nearest(self, text: str) -> list[str]:
        """Return names, in the script of `text`, whose noun is in it: a steam train is near any train."""
        words = {_singular(word) for word in re.findall(r"\w+", text.lower())[:_PROMPT_WORDS]}
        if _HAN.search(text):
            names = [next((name for name in names if _HAN.search(name)), "") for names in self.subjects]
            near = [name for name in names if len(name) > 2 and name[-2:] in text]
        else:
            near = [names[0] for names in self.subjects if _singular(names[0].split()[-1]) in words]
        return near[:EXAMPLES]


def _singular(word: str) -> str:
    return word if word.endswith("ss") else word.removesuffix("s")


def _contains(text: str, name: str) -> bool:
    """An ASCII name must be a whole word, also in the plural; Chinese has no spaces between words."""
    if not name.isascii():
        return name in text
    return re.search(rf"(?<!\w){re.escape(name)}(e?s)?(?!\w)", text) is not None
