"""The Python client of OpenAI."""

import base64
from typing import Any

from openai import OpenAI
from serve import serve


def run(call: dict[str, Any]) -> dict[str, Any]:
    client = OpenAI(base_url=f"{call.pop('url')}/v1", api_key=call.pop("key"), **call.pop("client", {}))
    action = call.pop("action")
    if action == "models":
        return {"models": [model.id for model in client.models.list()], "one": client.models.retrieve(call["model"]).id}
    if action == "stream":
        return stream(client, call)
    if action == "edit":
        files = [base64.b64decode(text) for text in call.pop("files")]
        response = client.images.edit(image=files if call.pop("as_list", False) else files[0], **call)
    else:
        response = client.images.generate(**call)
    images = [item.b64_json for item in response.data if item.b64_json]
    urls = [item.url for item in response.data if item.url]
    extra = response.model_dump()
    return {"images": images, "urls": urls, "size": response.size, "seeds": [item["seed"] for item in extra["data"]],
            "model": extra["model"], "warnings": extra["warnings"], "job": extra["job"]}  # fmt: skip


def stream(client: OpenAI, call: dict[str, Any]) -> dict[str, Any]:
    partial, images = [], []
    for event in client.images.generate(stream=True, **call):
        if event.type == "image_generation.partial_image":
            partial.append([event.partial_image_index, event.b64_json])
        elif event.type == "image_generation.completed":
            images.append(event.b64_json)
    return {"images": images, "partial": partial}


serve(run)
