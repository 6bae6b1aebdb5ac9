"""Clients of Hugging Face: huggingface_hub, and @huggingface/inference."""

from __future__ import annotations

import time

import pytest

from tests.clients.conftest import BUSY, Clients, Target
from tests.clients.function import Function
from tests.clients.images import START

CLIENTS = ["huggingface-node", "huggingface-python"]
pytestmark = pytest.mark.parametrize("name", CLIENTS)


def test_it_generates(target: Target, client: Clients, name: str) -> None:
    fields = {"prompt": "a red apple", "seed": 7, "width": 64, "height": 72, "num_inference_steps": 5}
    result = client(name).call(target, "text", **fields)
    assert result.image().size == (64, 72)
    (request,) = target.requests()
    assert (request["prompt"], request["seed"], request["num_inference_steps"]) == (["a red apple"], 7, 5)


def test_it_generates_without_parameters(target: Target, client: Clients, name: str) -> None:
    assert client(name).call(target, "text", prompt="a red apple").image()
    assert len(target.requests()) == 1


def test_it_starts_from_an_image(target: Target, client: Clients, name: str) -> None:
    result = client(name).call(target, "image", file=START, prompt="a red apple", strength=0.4)
    assert result.image()
    (request,) = target.requests()
    assert (request["init_image"], request["strength"]) == (START, 0.4)


def test_health(target: Target, client: Clients, name: str) -> None:
    if name == "huggingface-python":
        assert client(name).call(target, "health").value == {"healthy": True}


def test_the_message_of_a_field_that_cannot_be_used(target: Target, client: Clients, name: str) -> None:
    error = client(name).call(target, "text", prompt="a", num_inference_steps="many").error
    assert error and "num_inference_steps: Num_inference_steps must be a number" in error
    assert not target.requests()


def test_the_message_of_a_failing_gpu(target: Target, client: Clients, name: str) -> None:
    error = client(name).call(target, "text", prompt="fail gpu_out_of_memory").error
    assert error and "As requested" in error
    assert len(target.requests()) == 1


def test_the_message_of_a_wrong_key(full_target: Target, client: Clients, name: str) -> None:
    result = client(name).call(full_target, "text", prompt="a", key="wrong")
    assert result.error and "API key" in result.error


def test_the_message_of_a_busy_model(full_target: Target, client: Clients, name: str) -> None:
    error = client(name).call(full_target, "text", prompt="busy").error
    assert error and BUSY.search(error)
    assert not full_target.requests()


def test_a_cold_model_generates_only_for_the_next_attempt(
    function_target: Function, client: Clients, name: str
) -> None:
    function_target.requests()
    function_target.sleeping(3)
    began = time.monotonic()
    error = client(name).call(function_target, "text", prompt="cold", seed=1).error
    assert error and "The model is starting" in error
    assert time.monotonic() - began < 3, "the client did not try again"
    time.sleep(1.5)
    assert client(name).call(function_target, "text", prompt="cold", seed=2).image()
    assert [request["seed"] for request in function_target.requests()] == [2]


@pytest.mark.parametrize("prompt", ["slow 3", "hang 5"])
def test_a_request_that_takes_too_long_is_one_job(
    function_target: Function, client: Clients, name: str, prompt: str
) -> None:
    function_target.requests()
    assert client(name).call(function_target, "text", prompt=prompt).error
    time.sleep(3)
    assert len(function_target.requests()) == 1
