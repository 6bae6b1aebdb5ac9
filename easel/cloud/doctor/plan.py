"""The planned deploy: the settings of the CDK's context, and the model that they choose."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from easel.cloud.doc_pages import SETTINGS
from easel.console.errors import USAGE, CommandError
from stacks.config.catalogue import CatalogueError, Model, read_model
from stacks.config.instances import choose_instances
from stacks.config.names import Names
from stacks.config.settings import Settings, SettingsError, parse_settings
from stacks.config.user_context import read_user_context

DEPLOYS = r"\bnpx cdk (?:deploy|destroy|rollback)\b"


@dataclass(frozen=True)
class Plan:
    """Settings and a model. If `model` is None, `model_error` says why. `options`: the `-c` pairs that were given.

    `others`: the plans of further models.
    """

    settings: Settings
    model: Model | None
    model_error: str
    options: tuple[str, ...] = ()
    others: tuple[Plan, ...] = ()

    @property
    def each(self) -> tuple[Plan, ...]:
        """A plan for each model."""
        return (self, *self.others)

    def in_commands(self, text: str) -> str:
        """Return a text with the name and the options of the plan in its commands, so that they deploy the same."""
        pairs = [f"-c {shlex.quote(pair)}" for pair in self.options if not pair.startswith("name=")]
        text = re.sub(DEPLOYS, lambda match: " ".join((match[0], *pairs)), text)
        return self.settings.names.in_commands(text)

    @property
    def instance_type(self) -> str:
        """The configured or the chosen instance type; empty if neither is known."""
        return self.settings.instance_type


def read_names(name: str | None, root: Path) -> Names:
    """Return the names of the Easel `name`, or of the name in cdk.json. Raises CommandError: invalid name."""
    chosen = {"name": name} if name else _read_context(root / "cdk.json")
    return _parse({key: value for key, value in chosen.items() if key == "name"}).names


def read_plan(context: Sequence[str], root: Path) -> Plan:
    """Read the settings as `cdk deploy` does; `context` has its `-c` pairs. Raises CommandError: invalid setting."""
    user_context = read_user_context(root, Path.home())
    settings_context = {**user_context, **_read_context(root / "cdk.json")}
    for pair in context:
        key, equals, value = pair.partition("=")
        if not equals:
            raise _usage_error(f"{pair!r} must have the form key=value")
        settings_context[key] = value
    settings = _parse(settings_context, user_context)
    first, *others = (_plan(name, settings, tuple(context), root) for name in settings.models)
    return replace(first, others=tuple(others))


def _plan(name: str, settings: Settings, options: tuple[str, ...], root: Path) -> Plan:
    try:
        model = read_model(name, root)
        return Plan(choose_instances(model, settings), model, "", options)
    except CatalogueError as error:
        return Plan(settings, None, str(error), options)


def _parse(context: dict[str, Any], user_context: dict[str, Any] | None = None) -> Settings:
    try:
        return parse_settings(context, user_context)
    except SettingsError as error:
        raise _usage_error(str(error)) from None


def _read_context(file: Path) -> dict[str, Any]:
    try:
        context = json.loads(file.read_text(encoding="utf-8")).get("context", {})
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise _usage_error(f"cdk.json cannot be read: {error}") from None
    if not isinstance(context, dict):
        raise _usage_error(f'context in cdk.json is {context!r}; it must be an object, like {{"model": "emoji"}}')
    return context


def _usage_error(why: str) -> CommandError:
    fix = f"{SETTINGS} lists all settings"
    return CommandError("A setting is invalid", where="-c or cdk.json", why=why, fix=fix, code=USAGE)
