"""The clients of Replicate, for Python and JavaScript."""

from __future__ import annotations

import time

import pytest

from tests.clients.conftest import BUSY, Clients, Target
from tests.clients.function import Function
from tests.clients.images import START

CLIENTS = ["replicate-node", "replicate-python"]
MODEL, VERSION = "easel/emoji", f"stability-ai/sdxl:{'1' * 64}"
by_client = pytest.mark.parametrize("name", CLIENTS)


@by_client
@pytest.mark.parametrize("model", [MODEL, VERSION])
def test_it_generates(target: Target, client: Clients, name: str, model: str) -> None:
    inputs = {"prompt": "a red apple", "seed": 7, "width": 64, "height": 72, "num_outputs": 2}
    result = client(name).call(target, "run", model=model, input=inputs)
    assert len(result.files) == 2 and not result.error
    (request,) = target.requests()
    assert (request["prompt"], request["seed"], request["height"]) == (["a red apple"], 7, 72)


@by_client
def test_it_starts_from_a_file(target: Target, client: Clients, name: str) -> None:
    inputs = {"prompt": "a red apple", "prompt_strength": 0.4, "width": 64, "height": 64}
    result = client(name).call(target, "run", model=MODEL, input=inputs, file=START)
    assert result.image().size == (64, 64)
    (request,) = target.requests()
    assert (request["init_image"], request["strength"]) == (START, 0.4)


@by_client
@pytest.mark.parametrize("prompt", ["slow 4", "hang 5"])
def test_a_prediction_that_takes_longer_is_waited_for(target: Target, client: Clients, name: str, prompt: str) -> None:
    result = client(name).call(target, "run", model=MODEL, input={"prompt": prompt, "width": 64, "height": 64})
    if prompt.startswith("hang") and target.name == "function":
        assert result.error, "the gateway has no response"
    else:
        assert result.image().size == (64, 64)
    time.sleep(1)
    assert len(target.requests()) == 1


@by_client
def test_a_cold_model_is_waited_for(function_target: Function, client: Clients, name: str) -> None:
    function_target.requests()
    function_target.sleeping(4)
    assert client(name).call(function_target, "run", model=MODEL, input={"prompt": "cold"}).image()
    assert len(function_target.requests()) == 1


def test_states_logs_and_progress(target: Target, client: Clients) -> None:
    result = client("replicate-python").call(target, "create", model=MODEL, input={"prompt": "slow 2", "seed": 7}).value
    assert (result["states"][0], result["states"][-1]) == ("starting", "succeeded")
    assert (result["progress"], result["newest"]) == (1.0, True)
    assert result["logs"].startswith("Using seed: 7\n")
    assert len(target.requests()) == 1


def test_cancelling(target: Target, client: Clients) -> None:
    result = client("replicate-python").call(target, "cancel", model=MODEL, input={"prompt": "slow 5"}).value
    assert result["states"] == ["starting", "canceled"]
    node = client("replicate-node").call(target, "cancel", model=MODEL, input={"prompt": "slow 5"})
    assert node.value == {"status": "canceled"}


def test_the_model(target: Target, client: Clients) -> None:
    found = client("replicate-python").call(target, "model", model=MODEL).value
    assert found["name"] == MODEL and len(found["versions"]) == 1


@by_client
def test_the_message_of_a_field_that_cannot_be_used(target: Target, client: Clients, name: str) -> None:
    error = client(name).call(target, "run", model=MODEL, input={"prompt": "a", "num_outputs": "many"}).error
    assert error and "input.num_outputs: Num_outputs must be a number" in error
    assert not target.requests()


@by_client
def test_the_message_of_a_failing_gpu(target: Target, client: Clients, name: str) -> None:
    error = client(name).call(target, "run", model=MODEL, input={"prompt": "fail gpu_out_of_memory"}).error
    assert error and "As requested. (gpu_out_of_memory)" in error
    assert len(target.requests()) == 1


@by_client
def test_the_message_of_a_wrong_key(full_target: Target, client: Clients, name: str) -> None:
    error = client(name).call(full_target, "run", model=MODEL, input={"prompt": "a"}, key="wrong").error
    assert error and "key" in error.lower()


@by_client
def test_the_message_of_a_busy_model(full_target: Target, client: Clients, name: str) -> None:
    error = client(name).call(full_target, "run", model=MODEL, input={"prompt": "busy"}).error
    assert error and BUSY.search(error)
    assert not full_target.requests()
