"""The words of a small model that knows few: `vocabulary.json` in its folder, where it has one."""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from contract import refuse

FILE = "vocabulary.json"
OFFERED = 5
"""Names in the advice."""


@dataclass(frozen=True)
class Vocabulary:
    """What the model draws: names for each thing, the first is *the* name; empty for a model that draws anything."""

    things: tuple[tuple[str, ...], ...] = ()

    def advice(self, prompts: Iterable[str]) -> list[str]:
        """For prompts of which the model knows no word: how much it draws, and the names nearest to them."""
        unknown = [prompt for prompt in prompts if self.things and not self._known(prompt)]
        if not unknown:
            return []
        offered = ", ".join(self._near(" ".join(unknown)))
        which = "the prompt" if len(unknown) == 1 else f"{len(unknown)} of the prompts"
        told = f"This model draws {len(self.things)} things and found none of them in {which}"
        return [f"{told}. Try for instance {offered}; GET /models has the list."]

    def _names(self) -> list[str]:
        return [name for thing in self.things for name in thing]

    def _known(self, prompt: str) -> bool:
        text = prompt.lower()
        return any(_said(name, text) for name in self._names())

    def _near(self, text: str) -> list[str]:
        words = re.findall(r"\w+", text.lower())[:50]
        near = [match for word in words for match in get_close_matches(word, self._names(), n=2, cutoff=0.7)]
        others = (_in_script(thing, text.isascii()) for thing in self.things)
        return list(dict.fromkeys([*near, *others]))[:OFFERED]


def _in_script(thing: tuple[str, ...], ascii: bool) -> str:
    """The name that whoever wrote the prompt can read, as far as there is one."""
    return next((name for name in thing if name.isascii() == ascii), thing[0])


def _said(name: str, text: str) -> bool:
    """Chinese is written without spaces; an English name counts as a whole word, also in the plural."""
    if not name.isascii():
        return name in text
    return re.search(rf"(?<!\w){re.escape(name)}(e?s)?(?!\w)", text) is not None


def read(folder: Path) -> Vocabulary:
    """Raises EaselError `config_error` on a file that is no list of lists of names."""
    file = folder / FILE
    if not file.exists():
        return Vocabulary()
    try:
        things = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        things = None
    if not _is_list(things, lambda names: names != [] and _is_list(names, lambda name: isinstance(name, str))):
        hint = 'Write a list of lists of names, like [["panda", "熊猫"], ["cat"]], or leave the file out.'
        refuse("config_error", None, f"{FILE} is no list of lists of names", hint)
    return Vocabulary(tuple(tuple(name.lower() for name in names) for names in things))


def _is_list(value: object, holds: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and all(map(holds, value))
