"""OpenAI's clients."""

from __future__ import annotations

from tests.clients.conftest import Clients, Target


def test_it_generates(target: Target, client: Clients) -> None:
    result = client("openai-python").call(
        target, "generate", prompt="a red apple", size="64x72", extra_body={"seed": 7}
    )
    assert result.image().size == (64, 72)
    (request,) = target.requests()
    assert (request["prompt"], request["seed"], request["height"]) == (["a red apple"], 7, 72)
