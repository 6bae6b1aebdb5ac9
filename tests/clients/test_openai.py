"""OpenAI's clients: the image, what the model got, and the message that a user sees."""

from __future__ import annotations

import base64
import time

import httpx
import pytest
import yaml

from easel.connect.clients import CLIENTS
from easel.connect.settings import Settings
from tests.clients.conftest import BUSY, Clients, Target
from tests.clients.function import Function
from tests.easel.fake_container import png

SDKS = ("openai-python", "openai-node", "litellm", "ai-sdk")
"""Clients with the action `generate` and its fields: prompt, size, seed, model."""
ONLY_URLS = ("langchain",)
OTHERS = ("llm", "haystack")
START = png(9, 96, 72)


@pytest.mark.parametrize("name", [*SDKS, *OTHERS, *ONLY_URLS])
def test_it_generates(target: Target, client: Clients, name: str) -> None:
    result = client(name).call(target, "generate", prompt="a red apple", size="64x72", seed=7)
    (request,) = target.requests()
    assert request["prompt"] == ["a red apple"]
    if name in SDKS:
        assert (request["seed"], request["width"], request["height"]) == (7, 64, 72)
        assert result.image().size == (64, 72)
        assert result.files == [png(7, 64, 72)]
    elif name in OTHERS:
        assert result.image().size == (request["width"], request["height"])
    else:
        (url,) = result.value["urls"]
        assert httpx.get(url, trust_env=False).content == png(request["seed"], request["width"], request["height"])


@pytest.mark.parametrize("name", ["openai-python", "openai-node", "litellm", "ai-sdk"])
def test_it_edits(target: Target, client: Clients, name: str) -> None:
    file = base64.b64encode(START).decode()
    result = client(name).call(target, "edit", prompt="a green apple", files=[file], size="64x72")
    (request,) = target.requests()
    assert base64.b64decode(request["init_image"]) == START
    assert result.image().size == (64, 72)


@pytest.mark.parametrize("name", ["openai-python", "openai-node"])
def test_it_streams_previews_on_a_laptop_and_the_image_everywhere(target: Target, client: Clients, name: str) -> None:
    fields = {"prompt": "slow 1.2", "size": "64x72", "seed": 7, "partial_images": 2}
    result = client(name).call(target, "stream", **fields)
    assert (result.error, result.files) == (None, [png(7, 64, 72)])
    assert len(target.requests()) == 1
    partial = result.value["partial"]
    assert [index for index, _ in partial] == ([0, 1] if target.name == "laptop" else [])
    assert all(base64.b64decode(preview).startswith(b"\x89PNG") for _, preview in partial)


@pytest.mark.parametrize("name", ["openai-python", "openai-node"])
def test_models_are_listed(target: Target, client: Clients, name: str) -> None:
    assert client(name).call(target, "models", model="emoji").value == {"models": ["emoji"], "model": "emoji"}


def test_two_images_of_the_ai_sdk_are_two_jobs(target: Target, client: Clients) -> None:
    """T3: it sends the same request twice at the same time."""
    result = client("ai-sdk").call(target, "generate", prompt="a red apple", size="64x64", n=2)
    requests = target.requests()
    assert len(requests) == len({request["seed"] for request in requests}) == len(set(result.files)) == 2


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*SDKS, *OTHERS, *ONLY_URLS])
def test_a_bad_field_is_named_and_nothing_generated(target: Target, client: Clients, name: str) -> None:
    result = client(name).call(target, "generate", prompt="x" * 2001, size="64x64")
    assert result.error and "Prompt has 2001 characters. Send at most 2000." in result.error
    assert target.requests() == []


@pytest.mark.parametrize("name", [*SDKS, *OTHERS, *ONLY_URLS])
def test_a_failure_of_the_gpu_is_one_job(target: Target, client: Clients, name: str) -> None:
    result = client(name).call(target, "generate", prompt="fail gpu_out_of_memory", size="64x64")
    assert result.error and "As requested" in result.error
    assert len(target.requests()) == 1


@pytest.mark.parametrize("name", SDKS)
def test_a_wrong_key_is_shown(full_target: Target, client: Clients, name: str) -> None:
    result = client(name).call(full_target, "generate", prompt="a", size="64x64", key="wrong")
    assert result.error and "API key" in result.error
    assert full_target.requests() == []


@pytest.mark.parametrize("name", SDKS)
def test_a_busy_service_is_shown_after_retries(full_target: Target, client: Clients, name: str) -> None:
    result = client(name).call(full_target, "generate", prompt="busy", size="64x64")
    assert result.error and BUSY.search(result.error)
    assert full_target.requests() == []


@pytest.mark.parametrize("name", ["openai-python", "openai-node", "litellm"])
def test_a_cold_endpoint_is_waited_for_with_one_job(function_target: Function, client: Clients, name: str) -> None:
    function_target.requests()
    function_target.sleeping(4)
    result = client(name).call(function_target, "generate", prompt="a red apple", size="64x64", seed=7)
    assert result.files == [png(7, 64, 64)], result.error
    assert len(function_target.requests()) == 1


def test_the_ai_sdk_shows_that_the_endpoint_is_cold_and_makes_one_job(
    function_target: Function, client: Clients
) -> None:
    function_target.requests()
    function_target.sleeping(3)
    result = client("ai-sdk").call(function_target, "generate", prompt="a red apple", size="64x64")
    assert result.error and "The model is starting" in result.error
    time.sleep(2)
    assert len(function_target.requests()) == 1


@pytest.mark.parametrize("name", SDKS)
def test_images_that_take_long_are_one_job_that_is_named(function_target: Function, client: Clients, name: str) -> None:
    function_target.requests()
    result = client(name).call(function_target, "generate", prompt="slow 4", size="64x64")
    assert result.error and "GET /jobs/" in result.error
    assert len(function_target.requests()) == 1


@pytest.mark.parametrize("name", SDKS)
def test_a_timeout_of_the_gateway_is_one_job(function_target: Function, client: Clients, name: str) -> None:
    """T1. The AI SDK ignores x-should-retry: its second attempt gets the job of the first, and so the image."""
    function_target.requests()
    result = client(name).call(function_target, "generate", prompt="hang 6", size="64x64")
    if name == "ai-sdk":
        assert result.image().size == (64, 64)
    else:
        assert result.error and "did not respond in time" in result.error
    time.sleep(3)
    assert len(function_target.requests()) == 1


def test_two_images_of_the_ai_sdk_are_two_jobs_after_a_timeout(function_target: Function, client: Clients) -> None:
    function_target.requests()
    result = client("ai-sdk").call(function_target, "generate", prompt="hang 6", size="64x64", n=2)
    assert len(function_target.requests()) == len(set(result.files)) == 2, result.error


@pytest.mark.parametrize("prompt", ["a red apple", "hang 6", "fail gpu_out_of_memory"])
def test_the_proxy_of_litellm_makes_one_job(function_target: Function, client: Clients, prompt: str) -> None:
    """By default its router sends a request three times, whatever x-should-retry says."""
    function_target.requests()
    settings = Settings(function_target.url, key=function_target.key, shown=True, needs_key=True, model="emoji")
    config = yaml.safe_load(settings.render(CLIENTS["litellm-proxy"]))
    result = client("litellm").call(function_target, "router", prompt=prompt, config=config)
    assert bool(result.error) == (prompt != "a red apple")
    time.sleep(3)
    assert len(function_target.requests()) == 1
