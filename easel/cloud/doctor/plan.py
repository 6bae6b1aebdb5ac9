"""What would be deployed from here: the settings of `cdk.json` and `-c`, and the model that they choose."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easel.console.errors import USAGE, CommandError
from stacks.config.catalogue import CatalogueError, Model, read_model
from stacks.config.instances import choose_instances
from stacks.config.settings import Settings, SettingsError, parse_settings


@dataclass(frozen=True)
class Plan:
    """`refusal` says why there is no model; the settings' `instance_type` is empty where nobody can tell."""

    settings: Settings
    model: Model | None
    refusal: str

    @property
    def instance_type(self) -> str:
        return self.settings.instance_type


def read_plan(context: Sequence[str], root: Path) -> Plan:
    """`context` as after `cdk -c`. Raises CommandError for a setting that cannot be used."""
    told = _context_of(root / "cdk.json")
    for pair in context:
        key, equals, value = pair.partition("=")
        if not equals:
            raise _wrong(f"{pair!r} is not like key=value")
        told[key] = value
    try:
        settings = parse_settings(told)
    except SettingsError as error:
        raise _wrong(str(error)) from None
    try:
        model = read_model(settings.model, root)
        return Plan(choose_instances(model, settings), model, "")
    except CatalogueError as error:
        return Plan(settings, None, str(error))


def _context_of(file: Path) -> dict[str, Any]:
    try:
        context = json.loads(file.read_text(encoding="utf-8")).get("context", {})
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise _wrong(f"cdk.json cannot be read: {error}") from None
    if not isinstance(context, dict):
        raise _wrong(f'context in cdk.json is {context!r}; it must be an object, like {{"model": "emoji"}}')
    return context


def _wrong(why: str) -> CommandError:
    fix = "docs/aws.md has all settings"
    return CommandError("A setting cannot be used", where="-c or cdk.json", why=why, fix=fix, code=USAGE)
