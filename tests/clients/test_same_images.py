"""The same prompt, seed and size are the same request to the model, and give the same file, whatever the API."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from tests.clients.conftest import Target

PROMPT, SIZE = "a red apple", {"width": 64, "height": 72}
REQUESTS: dict[str, Any] = {
    "/generate": {"prompt": PROMPT, "seed": 7, **SIZE},
    "/v1/images/generations": {"prompt": PROMPT, "seed": 7, "size": "64x72"},
    "/sdapi/v1/txt2img": {"prompt": PROMPT, "seed": 7, **SIZE},
    "/hf/text-to-image": {"inputs": PROMPT, "parameters": {"seed": 7, **SIZE}},
    "/v1/predictions": {"input": {"prompt": PROMPT, "seed": 7, **SIZE}},
}


def image(path: str, response: httpx.Response) -> bytes:
    """Return the image file in a response."""
    if path == "/hf/text-to-image":
        return response.content
    body = response.json()
    texts = {
        "/generate": lambda: body["generated_images"][0],
        "/v1/images/generations": lambda: body["data"][0]["b64_json"],
        "/sdapi/v1/txt2img": lambda: body["images"][0],
        "/v1/predictions": lambda: body["output"][0].partition(",")[2],
    }
    return base64.b64decode(texts[path]())


@pytest.mark.parametrize("path", sorted(REQUESTS))
def test_the_image_is_that_of_the_native_api(target: Target, path: str) -> None:
    found = {}
    headers = {"x-api-key": target.key, "prefer": "wait"}
    with httpx.Client(base_url=target.url, headers=headers, timeout=30, trust_env=False) as client:
        for sent in ("/generate", path):
            response = client.post(sent, json=REQUESTS[sent])
            assert response.status_code in (200, 201), response.text
            (request,) = target.requests()
            # AUTOMATIC1111's clients expect weights; a prompt without them gives the same file.
            assert request.pop("prompt_syntax", "plain") == ("weighted" if "sdapi" in sent else "plain")
            found[sent] = image(sent, response), json.dumps(request)
    assert found[path] == found["/generate"]
