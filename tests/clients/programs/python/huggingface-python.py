"""huggingface_hub, the Python client of Hugging Face."""

import base64
import io
from typing import Any

from huggingface_hub import InferenceClient
from serve import serve


def run(call: dict[str, Any]) -> dict[str, Any]:
    action, url = call.pop("action"), call.pop("url")
    task = "image-to-image" if action == "image" else "text-to-image"
    client = InferenceClient(model=f"{url}/hf/{task}", token=call.pop("key"), provider="hf-inference")
    if action == "health":
        return {"healthy": client.health_check()}
    if action == "image":
        image = client.image_to_image(base64.b64decode(call.pop("file")), **call)
    else:
        image = client.text_to_image(call.pop("prompt"), **call)
    file = io.BytesIO()
    image.save(file, "PNG")
    return {"images": [base64.b64encode(file.getvalue()).decode()]}


serve(run)
