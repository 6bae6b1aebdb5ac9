"""The settings of one client, for one Easel: addresses and key in the form of a language."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from easel.connect.clients import Client
from easel.console.printable import printable

NO_KEY = "local"
"""Key for a laptop that checks none: most clients refuse to start without a key."""
ANY_MODEL = "easel"
"""Name of a model where none is known: the APIs take the first model for a name that they do not know."""
_QUOTES: dict[str, Callable[[str], str]] = {
    **dict.fromkeys(("python", "js", "json", "yaml"), lambda text: json.dumps(text, ensure_ascii=False)),
    **dict.fromkeys(("sh", "env"), shlex.quote),
    "text": str,
}
"""Language to what makes a string of it."""
_KEY_VARIABLES = {"python": 'os.environ["EASEL_KEY"]', "js": "process.env.EASEL_KEY", "sh": '"$EASEL_KEY"'}
"""Language to the expression of the key's variable. Other languages get a mark to replace."""
_KEY_MARK = "<EASEL_KEY>"


@dataclass(frozen=True)
class Settings:
    """An Easel as a client sees it.

    root: URL without a slash at its end. key: the API key, which may be printed if `shown`; `needs_key`: the service
    checks keys. command: the program that starts `easel mcp`.
    """

    root: str
    key: str = field(default="", repr=False)
    shown: bool = False
    needs_key: bool = False
    model: str = ANY_MODEL
    command: tuple[str, ...] = ("easel",)

    @property
    def hides_key(self) -> bool:
        """Whether the settings name the key's variable, or a mark, in place of the key."""
        return self.needs_key and not self.shown

    def render(self, client: Client) -> str:
        """Return the client's settings, ready to paste."""
        values = self._values(client.language)
        text = re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], client.template)
        lines = text.strip("\n").split("\n")
        if "os.environ" not in text:
            lines = [line for line in lines if line != "import os"]
        return "\n".join(printable(line) for line in lines)

    def notes(self, client: Client) -> list[str]:
        """Return what else the user has to know."""
        notes = list(client.notes)
        if client.at_root and urlsplit(self.root).path:
            notes.append(
                f"{client.title} needs Easel at the root of a domain: it replaces the path of {self.root}. Use the "
                "site (SiteUrl of `easel outputs`), or a domain of your own: docs/how-to/own-domain.md"
            )
        if self.hides_key:
            notes.append("The key is not shown. Set EASEL_KEY, or replace the mark; --show-key prints it.")
        return notes

    def _values(self, language: str) -> dict[str, str]:
        """Return the values of the marks of a template."""
        quote = _QUOTES[language]
        command, *arguments = self.command
        key = self.key if self.needs_key else NO_KEY
        plain = {
            "root": self.root,
            "openai": f"{self.root}/v1",
            "automatic1111": f"{self.root}/sdapi/v1",
            "huggingface": f"{self.root}/hf/text-to-image",
            "replicate": f"{self.root}/v1",
            "generate": f"{self.root}/generate",
            "model": self.model,
            "openai_model": f"openai/{self.model}",
            "replicate_model": f"easel/{self.model}",
            "command": command,
            "login": f"easel:{_KEY_MARK if self.hides_key else key}",
        }
        values = {name: quote(text) for name, text in plain.items()}
        values["arguments"] = json.dumps([*arguments, "mcp"])
        hidden = _KEY_VARIABLES.get(language) or quote(_KEY_MARK)
        return {**values, "key": hidden if self.hides_key else quote(key)}
