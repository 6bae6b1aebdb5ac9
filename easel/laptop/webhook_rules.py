"""What `easel up --webhooks` allows."""

from __future__ import annotations

from collections.abc import Sequence

from contract import EaselError
from easel.console.errors import USAGE, CommandError
from webhooks.url import UrlRules, parse_origin

PUBLIC = "public"


def parse_rules(allowed: Sequence[str]) -> UrlRules | None:
    """Return the rules of `--webhooks`: `public`, or origins of receivers. None: webhooks are off.

    Raises CommandError.
    """
    try:
        origins = frozenset(parse_origin(value) for value in allowed if value != PUBLIC)
    except EaselError:
        raise CommandError(
            "Webhooks cannot be allowed",
            where="--webhooks",
            why=f"it is neither {PUBLIC!r} nor like http://127.0.0.1:9000",
            fix=f"easel up --webhooks {PUBLIC}",
            code=USAGE,
        ) from None
    return UrlRules(public=PUBLIC in allowed, origins=origins) if allowed else None
