"""Open WebUI's router of images, with the settings that `easel connect` prints."""

from __future__ import annotations

import base64
import shlex
import time
from collections.abc import Callable

import pytest

from easel.connect.clients import CLIENTS
from easel.connect.settings import Settings
from tests.clients.conftest import Clients, Target
from tests.clients.function import Function
from tests.clients.images import START

CLIENT = "open-webui"
DATA_URL = f"data:image/png;base64,{START}"


def openai(target: Target) -> dict[str, str]:
    """Return the variables that `easel connect` prints."""
    settings = Settings(target.url, key=target.key, shown=True, needs_key=True, model="emoji")
    lines = shlex.split(settings.render(CLIENTS[CLIENT]))
    return dict(line.split("=", 1) for line in lines)


def automatic1111(target: Target) -> dict[str, str]:
    own = {"AUTOMATIC1111_BASE_URL": target.url, "AUTOMATIC1111_API_AUTH": f"easel:{target.key}"}
    return {**openai(target), "IMAGE_GENERATION_ENGINE": "automatic1111", **own}


@pytest.mark.parametrize("engine", [openai, automatic1111])
def test_it_generates(target: Target, client: Clients, engine: Callable[[Target], dict[str, str]]) -> None:
    result = client(CLIENT).call(
        target, "generations", settings=engine(target), prompt="a red apple", size="64x72", n=2
    )
    assert len(result.files) == 2, result.error
    (request,) = target.requests()
    assert (request["prompt"], request["width"], request["height"]) == (["a red apple"], 64, 72)


@pytest.mark.parametrize("image", [DATA_URL, [DATA_URL]], ids=["image", "image[]"])
def test_it_edits(target: Target, client: Clients, image: str | list[str]) -> None:
    result = client(CLIENT).call(target, "edit", settings=openai(target), prompt="a green apple", image=image)
    assert result.image().size == (64, 64)
    (request,) = target.requests()
    assert base64.b64decode(request["init_image"]) == base64.b64decode(START)


def test_a_model_of_openai_needs_no_url(target: Target, client: Clients) -> None:
    """T5: it refuses URLs of private addresses."""
    settings = {**openai(target), "IMAGE_GENERATION_MODEL": "dall-e-2"}
    result = client(CLIENT).call(target, "generations", settings=settings, prompt="a red apple", size="64x64")
    assert result.image().size == (64, 64)


def test_it_verifies_and_lists(target: Target, client: Clients) -> None:
    fields = {"engine": "automatic1111", "settings": automatic1111(target)}
    verified = client(CLIENT).call(target, "verify", url=target.url, key=f"easel:{target.key}", **fields)
    assert verified.value == {"verified": True}
    assert client(CLIENT).call(target, "models", settings=automatic1111(target)).value == {"models": ["emoji"]}


@pytest.mark.parametrize(
    ("prompt", "shown"), [("x" * 2001, "Bad Request"), ("fail gpu_out_of_memory", "Internal Server Error")]
)
def test_it_shows_the_name_of_the_status(target: Target, client: Clients, prompt: str, shown: str) -> None:
    result = client(CLIENT).call(target, "generations", settings=openai(target), prompt=prompt, size="64x64")
    assert result.error and shown in result.error


@pytest.mark.parametrize("prompt", ["slow 4", "hang 6"])
def test_a_request_that_takes_too_long_is_one_job(function_target: Function, client: Clients, prompt: str) -> None:
    function_target.requests()
    fields = {"settings": openai(function_target), "prompt": prompt, "size": "64x64"}
    assert client(CLIENT).call(function_target, "generations", **fields).error
    time.sleep(3)
    assert len(function_target.requests()) == 1
