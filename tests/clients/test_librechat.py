"""The requests of LibreChat's tool for images, with the settings that `easel connect` prints."""

from __future__ import annotations

import base64
import shlex
import time

import pytest

from easel.connect.clients import CLIENTS
from easel.connect.settings import Settings
from tests.clients.conftest import Clients, Target
from tests.clients.function import Function
from tests.clients.images import START

CLIENT = "librechat"


def settings(target: Target) -> dict[str, str]:
    printed = Settings(target.url, key=target.key, shown=True, needs_key=True, model="emoji").render(CLIENTS[CLIENT])
    return dict(line.split("=", 1) for line in shlex.split(printed))


def test_it_generates(target: Target, client: Clients) -> None:
    result = client(CLIENT).call(target, "generate", settings=settings(target), prompt="a red apple")
    (request,) = target.requests()
    assert result.image().size == (request["width"], request["height"])


def test_it_edits(target: Target, client: Clients) -> None:
    result = client(CLIENT).call(target, "edit", settings=settings(target), prompt="a green apple", files=[START])
    assert result.image().size == (64, 64)
    (request,) = target.requests()
    assert base64.b64decode(request["init_image"]) == base64.b64decode(START)


@pytest.mark.parametrize("action", ["generate", "edit"])
def test_a_timeout_of_the_gateway_is_one_job(function_target: Function, client: Clients, action: str) -> None:
    function_target.requests()
    fields = {"settings": settings(function_target), "prompt": "hang 6", "files": [START]}
    assert client(CLIENT).call(function_target, action, **fields).error
    time.sleep(3)
    assert len(function_target.requests()) == 1
