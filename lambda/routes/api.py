"""The interface of an API: its routes, and its form of errors."""

from __future__ import annotations

import re
from typing import ClassVar, Protocol

from contract import EaselError
from gateway.events import Response
from gateway.router import Route
from routes.generations import Generations


class Api(Protocol):
    """Routes that follow one convention, for example the native API."""

    paths: ClassVar[re.Pattern[str]]
    """Paths at which errors, also those of the gateway, have this API's form."""
    waiting: ClassVar[re.Pattern[str]]
    """Paths to which a POST may wait for a job."""

    def __init__(self, generations: Generations) -> None: ...

    def routes(self) -> list[Route]: ...

    @staticmethod
    def error(error: EaselError, path: str, request_id: str) -> Response:
        """Return the response to an error."""
