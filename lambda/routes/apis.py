"""All APIs of the service. To add one: a module in this folder and an entry in `APIS`."""

from __future__ import annotations

from contract import EaselError
from gateway.events import Response
from routes.api import Api
from routes.automatic1111.api import Automatic1111Api
from routes.generations import Generations
from routes.huggingface import HuggingFaceApi
from routes.native import NativeApi
from routes.openai.api import OpenAIApi
from routes.replicate.api import ReplicateApi

APIS: tuple[type[Api], ...] = (ReplicateApi, OpenAIApi, Automatic1111Api, HuggingFaceApi, NativeApi)
"""The first whose paths match a path is its API: Replicate's are among OpenAI's, and the native API has all others."""


def all_apis(generations: Generations) -> list[Api]:
    """Return every API."""
    return [api(generations) for api in APIS]


def render_error(error: EaselError, path: str, request_id: str) -> Response:
    """Return the response to an error in the form of the API at `path`."""
    return next(api for api in APIS if api.paths.match(path)).error(error, path, request_id)


def waits(method: str, path: str) -> bool:
    """Return whether a request may wait for a job, and so take seconds."""
    return method == "POST" and any(api.waiting.fullmatch(path) for api in APIS)
