"""LiteLLM as a library, and the router of its proxy."""

import asyncio
import base64
import sys
from pathlib import Path
from typing import Any

sys.path.remove(str(Path(__file__).parent))  # this file has the name of the package
import litellm

sys.path.append(str(Path(__file__).parent))
from serve import serve


def run(call: dict[str, Any]) -> dict[str, Any]:
    if call["action"] == "router":
        config = call["config"]
        router = litellm.Router(model_list=config["model_list"], **config["router_settings"])
        response = asyncio.run(router.aimage_generation(model="easel", prompt=call["prompt"], size="64x64"))
        return {"images": [item["b64_json"] for item in response.data]}
    options = {"api_base": f"{call.pop('url')}/v1", "api_key": call.pop("key"), "model": "openai/gpt-image-1"}
    seed = call.pop("seed", None)
    extra = {} if seed is None else {"extra_body": {"seed": seed}}
    if call.pop("action") == "edit":
        files = [base64.b64decode(text) for text in call.pop("files")]
        response = litellm.image_edit(image=files, **call, **options)
    else:
        response = litellm.image_generation(**call, **options, **extra)
    return {"images": [item["b64_json"] for item in response.data]}


serve(run)
