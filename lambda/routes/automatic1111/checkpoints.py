"""The model that a client of AUTOMATIC1111's API has chosen: by an option that its server keeps, or in a request."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from contract import ModelProfile, dumps, refuse
from jobs.ports import Store


class Checkpoints:
    """The service's models by the names that clients write; the first is the default.

    Each owner has its own option, which is kept where the service has several models.
    """

    def __init__(self, profiles: Sequence[ModelProfile], store: Store) -> None:
        self.profiles, self._store = tuple(profiles), store

    def find(self, name: Any) -> ModelProfile | None:
        """Return the model of this id or name, in any case."""
        wanted = name.strip().lower() if isinstance(name, str) else None
        return next((p for p in self.profiles if wanted in (p.id.lower(), p.name.lower())), None)

    def chosen(self, owner: str, settings: Any = None) -> ModelProfile:
        """Return the model of a request with these `override_settings`, else that of the owner's option."""
        named = settings.get("sd_model_checkpoint") if isinstance(settings, Mapping) else None
        return self.find(named) or self._option(owner)

    def choose(self, owner: str, name: Any) -> None:
        """Keep the option. Raises `not_found`."""
        profile = self.find(name)
        if profile is None:
            ids = [profile.id for profile in self.profiles]
            hint = f"The deployed model is {ids[0]}." if len(ids) == 1 else f"Send one of: {', '.join(ids)}."
            refuse("not_found", "sd_model_checkpoint", f"the model {str(name)[:80]!r} is not deployed", hint)
        if len(self.profiles) > 1:
            self._store.write(_key(owner), dumps({"model": profile.id}).encode())

    def _option(self, owner: str) -> ModelProfile:
        """Return the owner's model; the default if it has chosen none, or one that is no longer deployed."""
        body = self._store.read(_key(owner)) if len(self.profiles) > 1 else None
        with suppress(ValueError, TypeError, KeyError):
            return self.find(json.loads(body or b"")["model"]) or self.profiles[0]
        return self.profiles[0]


def _key(owner: str) -> str:
    return f"options/{owner}.json"
