"""The API key that the stack itself creates in API Gateway, which keeps its text."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

from aws.clients import create_client
from aws.errors import client_config, translated

_CACHE_SECONDS = 60
"""Time for which the key's text is cached: somebody may disable the key in API Gateway."""


class GatewayKey:
    """Implements `api_keys.authorizer.OperatorKey`."""

    def __init__(self, id: str, now: Callable[[], float] = time.monotonic) -> None:
        self.id, self._now = id, now
        self._cached: tuple[float, str | None] | None = None

    @cached_property
    def _gateway(self) -> Any:
        return create_client("apigateway", client_config(3))

    def value(self) -> str | None:
        if self._cached is None or self._now() - self._cached[0] > _CACHE_SECONDS:
            self._cached = (self._now(), self._read())
        return self._cached[1]

    def _read(self) -> str | None:
        with translated():
            key = self._gateway.get_api_key(apiKey=self.id, includeValue=True)
        return str(key["value"]) if key["enabled"] else None
