"""People who sign in, as entries beside the API keys: so they have quotas and use, and can be revoked.

An entry is made at a user's first request. Its name begins with `user:`, which no key's name can, and its hash is
empty: no text of a key opens it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from api_keys.keys import Key
from api_keys.tokens import Tokens

PREFIX = "user:"


class UserStore(Protocol):
    """Where the entries are stored."""

    def find(self, id: str) -> Key | None:
        """Return the entry, or None if there is none."""

    def swap(self, old: Key | None, new: Key) -> bool:
        """Store `new` in place of `old`; None: of nothing. Return False if something else is stored."""


class Users:
    """Returns the entries of users. `images_a_day`: everybody's quota; None: no limit. `slots`: see `keys.Key.slot`."""

    def __init__(
        self,
        *,
        tokens: Tokens,
        store: UserStore,
        images_a_day: int | None,
        slots: int,
        now: Callable[[], float],
    ) -> None:
        self._tokens, self._store, self._now = tokens, store, now
        self._images_a_day, self._slots = images_a_day, slots

    def identify(self, token: str) -> Key:
        """Return the entry of a token's user, with today's quota. Raises InvalidTokenError."""
        now = self._now()
        user = self._tokens.verify(token, now)
        old = self._store.find(user.owner)
        slot = int(user.owner, 16) % self._slots
        entry = old or Key(id=user.owner, name=PREFIX + user.name, hash="", created_at=now, slot=slot)
        new = replace(entry, images_a_day=self._images_a_day)
        if new == old or self._store.swap(old, new):
            return new
        return self._store.find(user.owner) or new
