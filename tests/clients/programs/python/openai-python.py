"""The Python client of OpenAI."""

import base64
from typing import Any

from openai import OpenAI
from serve import serve


def run(call: dict[str, Any]) -> dict[str, Any]:
    client = OpenAI(base_url=f"{call.pop('url')}/v1", api_key=call.pop("key"))
    action, seed = call.pop("action"), call.pop("seed", None)
    if action == "models":
        models = [model.id for model in client.models.list()]
        return {"models": models, "model": client.models.retrieve(call["model"]).id}
    extra = {} if seed is None else {"extra_body": {"seed": seed}}
    if action == "stream":
        return stream(client, **call, **extra)
    if action == "edit":
        files = [base64.b64decode(text) for text in call.pop("files")]
        response = client.images.edit(image=files, **call)
    else:
        response = client.images.generate(**call, **extra)
    return {"images": [item.b64_json for item in response.data if item.b64_json], "answer": response.model_dump()}


def stream(client: OpenAI, **fields: Any) -> dict[str, Any]:
    partial, images = [], []
    for event in client.images.generate(stream=True, **fields):
        if event.type == "image_generation.partial_image":
            partial.append([event.partial_image_index, event.b64_json])
        elif event.type == "image_generation.completed":
            images.append(event.b64_json)
    return {"images": images, "partial": partial}


serve(run)
