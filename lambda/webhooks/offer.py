"""Webhooks as APIs offer them: fields of requests, and the secret of signatures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from contract import WEBHOOK_FIELDS, EaselError
from jobs.ports import Store
from jobs.webhook import COMPLETED, START, Webhook

if TYPE_CHECKING:
    from webhooks.signing import SigningSecrets
    from webhooks.url import UrlRules


class Webhooks:
    """The webhooks of a service. `rules`: which URLs are accepted; None: webhooks are off.

    `reports_start`: as in `jobs.ports.Endpoint`. What is needed for requests with a webhook is imported with the first.
    """

    def __init__(self, store: Store, now: Callable[[], float], rules: UrlRules | None, *, reports_start: bool) -> None:
        self._store, self._now, self._rules = store, now, rules
        self.events = () if rules is None else (START, COMPLETED) if reports_start else (COMPLETED,)

    def parse(self, sent: Mapping[str, Any]) -> Webhook | None:
        """Return the webhook in the fields of a request, or None if it has none. Raises EaselError."""
        if all(sent.get(name) is None for name in WEBHOOK_FIELDS):
            return None
        from webhooks.url import parse_webhook

        return parse_webhook(sent, self._rules, self.events)

    def supported(self, wanted: Sequence[str]) -> list[str]:
        """Return the native events for those of Replicate: `output` comes at the end, and `logs` never."""
        native = (COMPLETED if event == "output" else event for event in wanted)
        return list(dict.fromkeys(event for event in native if event in self.events))

    def secret(self, owner: str) -> str:
        """Return the secret of the owner's signatures. Raises `not_supported`."""
        return self._secrets.current(owner)

    def rotate_secret(self, owner: str) -> str:
        """Replace the secret and return the new secret. The old is valid for a day more. Raises `not_supported`."""
        return self._secrets.rotate(owner)

    @cached_property
    def _secrets(self) -> SigningSecrets:
        if self._rules is None:
            hint = "Its operator can switch them on."
            raise EaselError("not_supported", "this service sends no webhooks", hint=hint)
        from webhooks.signing import SigningSecrets

        return SigningSecrets(self._store, self._now)
